//! The server of `ironspan view`: the page's files and the API of docs/viewer-api.md, over one store.
//!
//! ```text
//! ironspan-view (one thread, tokio) --accept--> connection --guard--> routes --> up to 4 readers (blocking threads)
//!                                      64 at most    default deny        10 s        5 s a query
//! ```
//!
//! It listens on loopback unless told otherwise, and then only with a token. It never connects anywhere.

mod api;
mod assets;
mod connections;
pub(crate) mod export;
mod guard;
mod live;
mod pool;
mod reply;
#[cfg(test)]
mod tests;

pub use api::answer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use thiserror::Error;
use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::store::maintain::Limits;

/// The port that is tried first, and how many after it.
pub const PORT: u16 = 7077;
const PORTS: u16 = 10;
/// The shortest token: 128 bits in base64.
const TOKEN: usize = 22;

/// Why the server does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other machines could read everything.
    #[error("{0} is reached from other machines, so a token is needed: add --token")]
    TokenNeeded(IpAddr),
    /// It could be guessed.
    #[error("a token needs {TOKEN} characters at least, of letters, digits, `-` and `_`; leave it out to get one")]
    WeakToken,
    /// Another program has the port.
    #[error("port {port} of {address} cannot be used ({detail}): choose another with --port")]
    Port {
        /// Where.
        address: IpAddr,
        /// Which.
        port: u16,
        /// What the system says.
        detail: String,
    },
    /// The system refuses a thread or a socket.
    #[error("the server cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The store.
    pub store: PathBuf,
    /// Where to listen; loopback unless a token is given.
    pub address: IpAddr,
    /// The port; without one [`PORT`], a later one when that is taken, or any.
    pub port: Option<u16>,
    /// Who has it may read. See [`new_token`].
    pub token: Option<String>,
    /// Names that this machine is called by from elsewhere, beside its addresses.
    pub names: Vec<String>,
    /// Look after the store as well: roll-ups, text index, retention.
    pub maintain: Option<Limits>,
    /// Serve the page's files from this folder, for work on them.
    pub ui: Option<PathBuf>,
}

impl Options {
    /// The store at `path`, for this machine alone. `IRONSPAN_UI_DIR` names a folder with the page's files.
    #[must_use]
    pub fn new(store: PathBuf, environment: &dyn crate::config::Environment) -> Self {
        Self {
            store,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            token: None,
            names: Vec::new(),
            maintain: Some(Limits::default()),
            ui: environment.get("IRONSPAN_UI_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from),
        }
    }
}

/// A token of 128 bits that nobody guesses.
///
/// # Errors
///
/// The system gives no random bytes.
pub fn new_token() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    getrandom::getrandom(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// A server that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Served {
    /// Where the page is, with the token in its fragment.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pool: Arc<pool::Pool>,
}

impl Served {
    /// Stops it: connections are closed, the store is let go.
    pub fn stop(mut self) {
        self.end();
    }

    /// Waits until it ends by itself, which it does only when the system takes its socket away.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // Its panic has been reported where it happened.
            let _ = thread.join();
        }
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.pool.end();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

/// What every request needs.
#[derive(Debug)]
struct App {
    guard: guard::Guard,
    pool: Arc<pool::Pool>,
    assets: assets::Assets,
    /// Streams that may be open.
    streams: tokio::sync::Semaphore,
}

/// Starts the server; it has its port when this returns.
///
/// # Errors
///
/// The store cannot be read (one that is not there yet is waited for), the address needs a token, the port is taken, or the system refuses.
#[allow(clippy::needless_pass_by_value, reason = "what is served belongs to the server")]
pub fn serve(options: Options) -> Result<Served, Error> {
    check_token(&options)?;
    let pool = Arc::new(pool::Pool::new(options.store.clone(), options.maintain)?);
    let listener = listen(&options)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let token = options.token.clone();
    let app = Arc::new(App {
        guard: guard::Guard::new(address, &options.names, token.as_deref()),
        pool: Arc::clone(&pool),
        assets: assets::Assets::new(options.ui.clone()),
        streams: tokio::sync::Semaphore::new(live::STREAMS),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(pool::READERS + 2)
        .thread_name("ironspan-read")
        .build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = crate::thread::spawn("ironspan-view", move || {
        let accepting = runtime.spawn(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                connections::accept(listener, api::routes(app)).await;
            }
        });
        // Ends when the sender is dropped.
        let _ = runtime.block_on(stopped);
        accepting.abort();
        // Queries end by themselves after their time.
        runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    })?;
    let host = if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    };
    let fragment = token.map_or_else(String::new, |token| format!("#token={token}"));
    Ok(Served { url: format!("http://{host}/{fragment}"), address, stop: Some(stop), thread: Some(thread), pool })
}

fn check_token(options: &Options) -> Result<(), Error> {
    match &options.token {
        None if options.address.is_loopback() => Ok(()),
        None => Err(Error::TokenNeeded(options.address)),
        Some(token) => {
            let plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if plain && (TOKEN..=256).contains(&token.len()) { Ok(()) } else { Err(Error::WeakToken) }
        }
    }
}

fn listen(options: &Options) -> Result<TcpListener, Error> {
    let bind = |port| {
        TcpListener::bind(SocketAddr::new(options.address, port)).map_err(|error| Error::Port {
            address: options.address,
            port,
            detail: error.to_string(),
        })
    };
    if let Some(port) = options.port {
        return bind(port);
    }
    (PORT..PORT + PORTS).find_map(|port| bind(port).ok()).map_or_else(|| bind(0), Ok)
}

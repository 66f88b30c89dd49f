//! Host names to addresses. `localhost` needs no lookup; every other name is looked up on a thread of its own, because
//! `getaddrinfo` blocks and cannot be cancelled: a request gives up on time, and the thread ends whenever it may.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::oneshot;
use tower_service::Service;

/// Lookups of one destination that may hang at a time. Retries would otherwise pile up threads.
const MOST_LOOKUPS: usize = 4;

/// Resolves names for one destination.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolver {
    under_way: Arc<AtomicUsize>,
}

impl Resolver {
    async fn resolve(self, name: Name) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        if is_localhost(name.as_str()) {
            // RFC 6761, section 6.3: localhost is this machine, whatever a resolver says.
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Ok(loopback.map(|address| SocketAddr::new(address, 0)).to_vec().into_iter());
        }
        if self.under_way.fetch_add(1, Relaxed) >= MOST_LOOKUPS {
            self.under_way.fetch_sub(1, Relaxed);
            return Err(io::Error::other("earlier lookups of the name have not ended"));
        }
        let (answer, answered) = oneshot::channel();
        let under_way = Arc::clone(&self.under_way);
        let started = crate::thread::spawn("ironspan-dns", move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            under_way.fetch_sub(1, Relaxed);
            // Nobody listens when the request has given up.
            let _ = answer.send(found);
        });
        if let Err(error) = started {
            self.under_way.fetch_sub(1, Relaxed);
            return Err(error);
        }
        answered.await.unwrap_or_else(|_| Err(io::Error::other("the lookup ended without an answer")))
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().resolve(name))
    }
}

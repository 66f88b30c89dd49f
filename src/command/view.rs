//! `ironspan view`: the page in the browser, until Ctrl-C.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::process::{Command as Program, Stdio};

use super::args::{Common, View};
use super::output::{Failure, Out};
use super::store;
use crate::store::read::Reader;
use crate::viewer::{Error, Options, new_token, serve};

pub(crate) fn run(common: &Common, view: &View, out: &mut Out<'_>) -> Result<(), Failure> {
    let path = store::place(common, out)?;
    // A store that is not there yet is waited for, unless a trace of it is asked for.
    let trace = view.trace.as_deref().map(|name| store::trace_id(&Reader::open(&path)?, name)).transpose()?;
    let mut options = Options::new(path.clone(), out.environment());
    options.address = address(&view.host)?;
    options.port = view.port;
    options.token.clone_from(&view.token);
    if !options.address.is_loopback() && options.token.is_none() {
        options.token = Some(new_token().map_err(failure)?);
    }
    // A name that is no address is one that other machines call this one by.
    if view.host.parse::<IpAddr>().is_err() {
        options.names.push(view.host.clone());
    }
    let served = serve(options).map_err(failure)?;
    let url = match &trace {
        None => served.url.clone(),
        Some(id) => with_trace(&served.url, id),
    };
    if out.json {
        out.value(&serde_json::json!({"url": url, "store": path.display().to_string()}))?;
    } else {
        let word = if path.exists() { "" } else { ", which is not there yet" };
        out.say(&format!("{url}  (store {}{word}; Ctrl-C ends)", path.display()))?;
    }
    out.flush()?;
    if !view.no_open && out.is_terminal() && !open_browser(&url, out) {
        out.note("no browser could be opened: open the address above in one")?;
    }
    served.wait();
    Err(Failure::Store(String::from("the server has ended: the system has taken its socket away")))
}

fn address(host: &str) -> Result<IpAddr, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let mut found = (host, 0).to_socket_addrs().into_iter().flatten();
    found.next().map(|address| address.ip()).ok_or_else(|| {
        Failure::Usage(format!("{host} is no address of this machine"), Some(String::from("write --host 127.0.0.1")))
    })
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Store(error) => error.into(),
        Error::TokenNeeded(_) | Error::WeakToken | Error::Port { .. } => Failure::Usage(error.to_string(), None),
        other => Failure::Store(other.to_string()),
    }
}

/// The page at a trace. The token stays in the fragment, which browsers send to nobody.
fn with_trace(url: &str, id: &str) -> String {
    match url.split_once('#') {
        None => format!("{url}#/t/{id}"),
        Some((page, fragment)) => format!("{page}#/t/{id}?{fragment}"),
    }
}

/// Whether a browser was asked to open the page.
fn open_browser(url: &str, out: &Out<'_>) -> bool {
    let set = |name: &str| out.environment().get(name).is_some_and(|text| !text.is_empty());
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        // Takes an address and no command line: nothing in it is interpreted.
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else if set("DISPLAY") || set("WAYLAND_DISPLAY") || set("WSL_DISTRO_NAME") {
        ("xdg-open", &[])
    } else {
        return false;
    };
    let mut opener = Program::new(program);
    opener.args(arguments).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    opener.spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stays_in_the_fragment() {
        assert_eq!(with_trace("http://127.0.0.1:7077/", "ab"), "http://127.0.0.1:7077/#/t/ab");
        assert_eq!(with_trace("http://h:1/#token=x", "ab"), "http://h:1/#/t/ab?token=x");
    }

    #[test]
    fn hosts_are_addresses_or_names() {
        assert!(address("127.0.0.1").is_ok_and(|address| address.is_loopback()));
        assert!(address("localhost").is_ok_and(|address| address.is_loopback()));
        assert!(address("no such host").is_err());
    }
}

//! A whole run: Linux up, all URLs, what was measured, Linux down.

use crate::cli::Cli;
use crate::connect::Dialer;
use crate::fetch::Fetcher;
use crate::place::Place;
use crate::progress::Progress;
use crate::reuse::Connections;
use crate::tls;
use lkl_net_setup::Network;
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::program::Program;
use lkl_session::signals::Signals;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use url::Url;

/// How long what is still done is waited for at the end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    let wanted = wanted(&cli)?;
    let tls = tls::configuration(&cli)?;
    let fault =
        |error: std::io::Error| Failure::new(Exit::Other, format_args!("threads: {}", reason(&error)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(fault)?;
    // From here on a signal ends what is done in an orderly way.
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(fault)?;
    let cli = Arc::new(cli);
    let patience = Duration::from_secs(cli.timeout.into());
    let settings = cli.network.settings(Program::new("lklget"), patience);
    let opened = runtime.block_on(async {
        let opening = tokio::task::spawn_blocking(move || Network::open(&settings));
        tokio::select! {
            network = opening => Some(network.unwrap_or_else(|error| Err(Failure::new(Exit::Other, error)))),
            () = signals.next() => None,
        }
    });
    let Some(network) = opened else {
        // Linux is booting or waits for an address; nothing was fetched.
        eprintln!("lklget: interrupted; nothing was fetched yet");
        std::process::exit(i32::from(Exit::Interrupted as u8));
    };
    let network = network?;
    let progress = Progress::new(cli.quiet);
    let fetcher = Arc::new(Fetcher {
        connections: Connections::new(Dialer {
            cli: Arc::clone(&cli),
            namespace: network.namespace.clone(),
            tls,
        }),
        cli: Arc::clone(&cli),
        progress: progress.clone(),
    });
    let mut failed = Vec::new();
    let interrupted = runtime.block_on(async {
        tokio::select! {
            () = fetch_all(&fetcher, wanted, &mut failed) => false,
            () = signals.next() => true,
        }
    });
    failed.sort_by_key(|(number, _)| *number);
    let mut exit = failed.first().map_or(Exit::Ok, |(_, exit)| *exit);
    if interrupted {
        progress.say("interrupted; what came is kept, and -C goes on with it");
        exit = Exit::Interrupted;
    }
    if cli.stats || cli.json {
        for meter in fetcher.connections.meters() {
            if cli.json {
                eprintln!("{}", meter.json());
            } else {
                eprintln!("{}", meter.text());
            }
        }
    }
    drop(fetcher);
    // Connections are closed with their tasks, and servers hear of it. A thread may still be within the resolver, which waits for
    // name servers; Linux's end ends it.
    runtime.shutdown_timeout(LAST_WAIT);
    // That it does not end well says that Linux has died.
    match network.close() {
        Ok(()) => Ok(exit),
        Err(failure) => Err(Failure::new(
            failure.exit,
            format_args!("{failure}, with -C for what came already"),
        )),
    }
}

/// What is to be fetched, and where to.
fn wanted(cli: &Cli) -> Result<Vec<(Url, Place)>, Failure> {
    let mut names = HashSet::new();
    let mut wanted = Vec::new();
    for text in &cli.urls {
        let no = |why: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Usage,
                format_args!("{text}: {why}; write http://SERVER/PATH or https://SERVER/PATH"),
            )
        };
        let url: Url = text.parse().map_err(|error| no(&error))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(no(&"no URL of HTTP"));
        }
        let place = Place::of(cli, &url)?;
        if let Place::File(path) = &place
            && !names.insert(path.clone())
        {
            let path = path.display();
            return Err(Failure::new(
                Exit::Usage,
                format_args!("{text}: {path} is another URL's file already; fetch it with an -o of its own"),
            ));
        }
        wanted.push((url, place));
    }
    Ok(wanted)
}

/// Fetches all, and notes which failed and how. Each failure is told when it happens.
async fn fetch_all(fetcher: &Arc<Fetcher>, wanted: Vec<(Url, Place)>, failed: &mut Vec<(usize, Exit)>) {
    // Standard output takes one after the other.
    let in_order = wanted.iter().any(|(_, place)| *place == Place::Stdout);
    let jobs = if in_order { 1 } else { fetcher.cli.jobs as usize };
    let mut tasks = JoinSet::new();
    let mut wanted = wanted.into_iter().enumerate();
    loop {
        while tasks.len() < jobs
            && let Some((number, (url, place))) = wanted.next()
        {
            let fetcher = Arc::clone(fetcher);
            tasks.spawn(async move { (number, fetcher.fetch(&url, &place).await) });
        }
        let (number, failure) = match tasks.join_next().await {
            None => return,
            Some(Ok((_, Ok(())))) => continue,
            Some(Ok((number, Err(failure)))) => (number, failure),
            Some(Err(error)) => (usize::MAX, Failure::new(Exit::Other, error)),
        };
        if failure.message.is_empty() {
            // The reader of standard output has had enough, which is no failure.
            return;
        }
        fetcher.progress.say(&failure.message);
        failed.push((number, failure.exit));
    }
}

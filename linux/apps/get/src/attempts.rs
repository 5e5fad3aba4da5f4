//! Several addresses of one server, side by side (RFC 8305, "happy eyeballs"): an attempt begins when the one before it has failed, or
//! has not succeeded for a while, and the first that succeeds ends the others. So a server is reached at once when one version of
//! IP leads nowhere, and nothing says so.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an attempt is alone (RFC 8305, section 5).
pub const ALONE: Duration = Duration::from_millis(250);

/// The addresses in the order of their attempts: the versions of IP by turns, that of the first one first (RFC 8305, section 4).
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let (mut preferred, mut others): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .rev()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut turns = Vec::with_capacity(addresses.len());
    while !preferred.is_empty() || !others.is_empty() {
        turns.extend(preferred.pop());
        turns.extend(others.pop());
    }
    turns
}

/// The first attempt that succeeds; or the last address and why it has failed, `None` if there is no address.
pub async fn first<T, E, F>(
    addresses: &[SocketAddr],
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Option<(SocketAddr, E)>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut waiting = by_turns(addresses).into_iter().enumerate();
    // Those that go on when one has succeeded end with this.
    let mut running = JoinSet::new();
    let mut failed: Option<(usize, SocketAddr, E)> = None;
    loop {
        if let Some((place, address)) = waiting.next() {
            let attempt = attempt(address);
            running.spawn(async move { (place, address, attempt.await) });
        }
        let ended = if waiting.len() == 0 {
            running.join_next().await
        } else {
            match timeout(ALONE, running.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok((_, _, Ok(connection)))) => return Ok(connection),
            Some(Ok((place, address, Err(error))))
                if failed.as_ref().is_none_or(|(before, ..)| place > *before) =>
            {
                failed = Some((place, address, error));
            }
            // One that was preferred has failed later; one that panicked has no answer.
            Some(_) => {}
            None if waiting.len() == 0 => {
                return Err(failed.map(|(_, address, error)| (address, error)));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::time::{Instant, sleep};

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn versions_take_turns_in_the_order_that_they_had() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let turns = addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]);
        assert_eq!(by_turns(&given), turns);
        let given = addresses(&["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"]);
        assert_eq!(
            by_turns(&given),
            addresses(&["10.0.0.1:1", "[::1]:1", "10.0.0.2:1"])
        );
        assert!(by_turns(&[]).is_empty());
    }

    /// What each address does: after so many milliseconds it succeeds, or fails.
    async fn raced(behaviour: &[(&str, u64, bool)]) -> (Result<SocketAddr, Option<SocketAddr>>, u64, usize) {
        let all: Vec<SocketAddr> = behaviour.iter().map(|(text, ..)| text.parse().unwrap()).collect();
        let begun = Arc::new(Mutex::new(0));
        let start = Instant::now();
        let result = first(&all, |address| {
            let (_, after, succeeds) = behaviour[all.iter().position(|one| *one == address).unwrap()];
            *begun.lock().unwrap() += 1;
            async move {
                sleep(Duration::from_millis(after)).await;
                if succeeds { Ok(address) } else { Err(()) }
            }
        });
        let result = result.await.map_err(|error| error.map(|(address, ())| address));
        let took = u64::try_from(start.elapsed().as_millis()).unwrap();
        let begun = *begun.lock().unwrap();
        (result, took, begun)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_holds_up_the_next_one_for_250_ms() {
        let (result, took, _) = raced(&[("[::1]:1", 60_000, true), ("10.0.0.1:1", 10, true)]).await;
        assert_eq!(result, Ok("10.0.0.1:1".parse().unwrap()));
        assert!((260..270).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_answers_in_time_is_alone() {
        let (result, took, begun) = raced(&[("[::1]:1", 200, true), ("10.0.0.1:1", 1, true)]).await;
        assert_eq!(result, Ok("[::1]:1".parse().unwrap()));
        assert!((200..210).contains(&took), "{took} ms");
        assert_eq!(begun, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_answers_late_is_taken_if_it_is_the_first_all_the_same() {
        let (result, took, begun) = raced(&[("[::1]:1", 300, true), ("10.0.0.1:1", 500, true)]).await;
        assert_eq!(result, Ok("[::1]:1".parse().unwrap()));
        assert!((300..310).contains(&took), "{took} ms");
        assert_eq!(begun, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_holds_up_none() {
        let (result, took, _) = raced(&[("[::1]:1", 5, false), ("10.0.0.1:1", 5, true)]).await;
        assert_eq!(result, Ok("10.0.0.1:1".parse().unwrap()));
        assert!((10..20).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_last_address_is_told_whichever_failed_last() {
        let (result, _, begun) = raced(&[("[::1]:1", 2000, false), ("10.0.0.1:1", 5, false)]).await;
        assert_eq!(result, Err(Some("10.0.0.1:1".parse().unwrap())));
        assert_eq!(begun, 2);
        assert_eq!(raced(&[]).await.0, Err(None));
    }
}

//! Who nfsd's clients are: what it would have written where a restart of the machine does not lose it.
//!
//! nfsd asks by a pipe for that (`include/uapi/linux/nfsd/cld.h`), which `nfsdcld` answers on other machines. Each message is sent back
//! with a status. Here nothing is kept: clients have no locks that would outlive the server, for they only read. That there are no
//! clients of an earlier run is what lets nfsd serve at once, without a time of grace.

/// The pipe, in the file system `rpc_pipefs`. It is there once nfsd starts.
pub(super) const PIPE: &std::ffi::CStr = c"nfsd/cld";

/// Bytes of a message of the version that is spoken, and where things are in it.
const LEN: usize = 8 + 2 + 1024;
const COMMAND: usize = 1;
const STATUS: std::ops::Range<usize> = 2..4;
const VALUE: usize = 8;

/// `Cld_GetVersion`, which is answered with this.
const GET_VERSION: u8 = 5;
const VERSION: u8 = 1;

/// The answer to a message: done.
pub(super) fn answer(message: &[u8]) -> Option<Vec<u8>> {
    let mut answer = message.get(..LEN)?.to_vec();
    answer.get_mut(STATUS)?.fill(0);
    if answer.get(COMMAND) == Some(&GET_VERSION) {
        *answer.get_mut(VALUE)? = VERSION;
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_done() {
        let mut message = vec![7; LEN];
        message[COMMAND] = GET_VERSION;
        let answer = answer(&message).unwrap();
        assert_eq!(answer[..10], [7, GET_VERSION, 0, 0, 7, 7, 7, 7, VERSION, 7]);
        assert_eq!(super::answer(&message[1..]), None);
    }
}

//! What clients read by FTP and WebDAV alike.

use std::fs;

use super::{Stage, noise, run};

/// `curl` goes on with a download of `large`, and gives the file its time.
pub fn curl_resumes(stage: &Stage, url: &str) {
    let (expected, to) = (noise(3_000_001, 7), stage.name("got"));
    fs::write(&to, &expected[..1_234_567]).unwrap();
    run("curl", &["-sSf", "-C", "-", "-R", "-o", &to, url]);
    assert!(fs::read(&to).unwrap() == expected);
    let when = |path| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(when(to.into()), when(stage.path("tree/large")));
}

/// A file above 4 GiB has its length, and its bytes where they are. `length` is what comes before the number of bytes.
pub fn a_file_above_4_gib(url: &str, size: u64, length: &str) {
    assert!(run("curl", &["-sSI", url]).contains(&format!("{length}: {size}")));
    let tail = run("curl", &["-sS", "-r", &format!("{}-", size - 12), url]);
    assert_eq!(tail, "the very end");
    let range = format!("{}-{}", 4u64 << 30, (4u64 << 30) + 5);
    assert_eq!(run("curl", &["-sS", "-r", &range, url]), "middle");
}

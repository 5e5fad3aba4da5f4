//! Each file of each corpus is given to its target, in an ordinary build.

use std::fs;
use std::path::Path;

use fuzz_targets::{Target, targets};

#[test]
fn no_input_of_a_corpus_is_a_finding() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    for Target { name, run } in targets::ALL {
        let mut files = 0;
        for entry in fs::read_dir(corpora.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.len() <= 8192, "{} is too long for a corpus", path.display());
            eprintln!("{}", path.display());
            run(&bytes);
            files += 1;
        }
        assert!(files > 0, "{name} has no corpus");
        run(&[]);
    }
}

#[test]
fn each_file_of_targets_is_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/targets");
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|name| name != "mod")
        .collect();
    files.sort();
    let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
    assert_eq!(files, names);
}

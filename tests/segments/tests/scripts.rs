//! All scripts: ours and those of Linux's own source package pass, and those that are wrong on purpose are refused for what is wrong.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use libtest_mimic::{Arguments, Failed, Trial};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;
    use tcp_scripts::linux::Linux;
    use tcp_scripts::run::{Settings, Version};
    use tcp_scripts::script::{Fault, Script, parse};

    /// Booted by the first script that runs.
    type Shared = Arc<OnceLock<Result<Linux, String>>>;

    const VERSIONS: [Version; 2] = [Version::V4, Version::V6];
    /// packetdrill's tolerance, which its scripts are written for.
    const PACKETDRILL_TOLERANCE: u64 = 4_000_000;

    pub fn main() -> ExitCode {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(300));
            eprintln!("still there after five minutes");
            std::process::abort();
        });
        let arguments = Arguments::from_args();
        let linux = Shared::default();
        let mut trials = own(&linux);
        trials.extend(wrong(&linux));
        trials.extend(kernels(&linux));
        let conclusion = libtest_mimic::run(&arguments, trials);
        let halted = match Arc::into_inner(linux).and_then(OnceLock::into_inner) {
            Some(Ok(linux)) => linux.halt(),
            _ => Ok(()),
        };
        if let Err(why) = &halted {
            eprintln!("{why}");
        }
        if conclusion.has_failed() || halted.is_err() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    fn scripts(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "pkt"))
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "no scripts in {}", folder.display());
        paths
    }

    fn here(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn name(path: &Path) -> String {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn run(linux: &Shared, script: &Script, settings: Settings, folder: &Path) -> Result<(), Fault> {
        match linux.get_or_init(Linux::boot) {
            Ok(linux) => linux.run(script, settings, folder),
            Err(error) => Err(Fault {
                place: Default::default(),
                what: error.clone(),
            }),
        }
    }

    /// Ours, over each version of IP that they are for: every segment and time exact.
    fn own(linux: &Shared) -> Vec<Trial> {
        let mut trials = Vec::new();
        for path in scripts(&here("scripts")) {
            let script = parse(&read(&path)).unwrap_or_else(|fault| panic!("{}:{fault}", path.display()));
            for version in VERSIONS {
                let settings = Settings::new(version);
                if !settings.fits(&script) {
                    continue;
                }
                let label = format!("ours/{}/{version}", name(&path));
                let (linux, script, path) = (Arc::clone(linux), script.clone(), path.clone());
                let test = move || {
                    run(&linux, &script, settings, &here("scripts"))
                        .map_err(|fault| Failed::from(format!("{}:{fault}", path.display())))
                };
                trials.push(Trial::test(label, test));
            }
        }
        trials
    }

    /// Those that are wrong on purpose. The first line of each says for what it is to be refused, and in which line:
    /// `// refused: LINE: MESSAGE`.
    fn wrong(linux: &Shared) -> Vec<Trial> {
        let mut trials = Vec::new();
        for path in scripts(&here("wrong")) {
            let text = read(&path);
            let first = text.lines().next().unwrap_or_default();
            let (line, message) = first
                .strip_prefix("// refused: ")
                .and_then(|rest| rest.split_once(": "))
                .unwrap_or_else(|| panic!("{} does not say what is wrong with it", path.display()));
            let (line, message): (usize, String) = (line.parse().unwrap(), message.to_owned());
            let linux = Arc::clone(linux);
            let label = format!("wrong/{}", name(&path));
            let test = move || {
                let settings = Settings::new(Version::V4);
                let result = parse(&text).and_then(|script| run(&linux, &script, settings, &here("scripts")));
                match result {
                    Ok(()) => Err(Failed::from("it passes")),
                    Err(fault) if fault.place.line == line && fault.what.contains(&message) => Ok(()),
                    Err(fault) => Err(Failed::from(format!("refused for something else: {fault}"))),
                }
            };
            trials.push(Trial::test(label, test));
        }
        trials
    }

    /// A line of `kernel-scripts.txt`.
    enum Expectation {
        Passes,
        /// At that line, with this in the message.
        Refused(usize, String),
    }

    fn expectations() -> Vec<(String, Expectation)> {
        let text = read(&here("kernel-scripts.txt"));
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        lines
            .map(|line| {
                let (name, rest) = line.split_once(' ').expect("a script and what is expected of it");
                let expectation = match rest.trim() {
                    "passes" => Expectation::Passes,
                    rest => {
                        let refused = rest
                            .strip_prefix("refused: ")
                            .and_then(|rest| rest.split_once(": "));
                        let (line, message) = refused.unwrap_or_else(|| panic!("{rest}: what is this?"));
                        Expectation::Refused(line.parse().expect("a line's number"), message.to_owned())
                    }
                };
                (name.to_owned(), expectation)
            })
            .collect()
    }

    /// The folder of Linux's own scripts, in the tree that the kernel is built from.
    fn kernels_folder() -> PathBuf {
        let request = lkl_build::Request::from_env().unwrap_or_else(|error| panic!("{error}"));
        let identity = lkl_build::source::identity(&request.source, &request.cache);
        let identity = identity.unwrap_or_else(|error| panic!("{error}"));
        let tree = lkl_build::source::unpack(&request.source, &identity, &request.cache);
        let tree = tree.unwrap_or_else(|error| panic!("{error}"));
        tree.path.join("tools/testing/selftests/net/packetdrill")
    }

    /// Linux's own, unmodified, as packetdrill would run them. `kernel-scripts.txt` says which pass.
    fn kernels(linux: &Shared) -> Vec<Trial> {
        let folder = kernels_folder();
        let mut expectations = expectations();
        let mut trials = Vec::new();
        for path in scripts(&folder) {
            let known = expectations.iter().position(|(known, _)| *known == name(&path));
            let Some(known) = known else {
                let what = format!(
                    "kernel-scripts.txt does not say what is expected of {}",
                    name(&path)
                );
                let label = format!("kernel/{}", name(&path));
                trials.push(Trial::test(label, || Err(Failed::from(what))));
                continue;
            };
            let (_, expectation) = expectations.swap_remove(known);
            let expectation = Arc::new(expectation);
            for version in VERSIONS {
                let mut settings = Settings::new(version);
                settings.tolerance = PACKETDRILL_TOLERANCE;
                settings.whole = false;
                let (linux, path, folder) = (Arc::clone(linux), path.clone(), folder.clone());
                let expectation = Arc::clone(&expectation);
                let label = format!("kernel/{}/{version}", name(&path));
                let test = move || {
                    let result =
                        parse(&read(&path)).and_then(|script| run(&linux, &script, settings, &folder));
                    match (&*expectation, result) {
                        (Expectation::Passes, Ok(())) => Ok(()),
                        (Expectation::Passes, Err(fault)) => Err(Failed::from(fault.to_string())),
                        (Expectation::Refused(..), Ok(())) => Err(Failed::from(
                            "it passes, and kernel-scripts.txt says that it does not",
                        )),
                        (Expectation::Refused(line, message), Err(fault)) => {
                            if fault.place.line == *line && fault.what.contains(message) {
                                Ok(())
                            } else {
                                Err(Failed::from(format!("refused for something else: {fault}")))
                            }
                        }
                    }
                };
                trials.push(Trial::test(label, test));
            }
        }
        for (name, _) in expectations {
            let what = format!("kernel-scripts.txt has {name}, which Linux's source package has not");
            trials.push(Trial::test(format!("kernel/{name}"), || Err(Failed::from(what))));
        }
        trials
    }
}

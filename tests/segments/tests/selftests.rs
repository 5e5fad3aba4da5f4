//! Linux's own selftests of the network, compiled from its source package and run on the carried Linux: `selftests/expected.txt` says what is
//! expected of each, `selftests/shim.c` how their calls come to the library in C.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use libtest_mimic::{Arguments, Failed, Trial};
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode};
    use std::sync::{Arc, OnceLock};

    /// The folders of the selftests, below `net`.
    const FOLDERS: [&str; 4] = ["", "af_unix/", "mptcp/", "netfilter/"];

    #[derive(Clone)]
    struct Expectation {
        /// Below `net`, or absolute.
        file: String,
        /// Lines NAME=VALUE.
        settings: String,
        arguments: Vec<String>,
        passes: bool,
        output: String,
    }

    /// What a program is made with.
    struct Workshop {
        place: tempfile::TempDir,
        net: PathBuf,
    }

    type Shared = Arc<OnceLock<Result<Workshop, String>>>;

    pub fn main() -> ExitCode {
        let arguments = Arguments::from_args();
        let net = net();
        let (listed, run) = expectations();
        let there = sources(&net);
        let label = "every_selftest_is_listed";
        let mut trials = vec![Trial::test(label, move || {
            let differ: Vec<_> = there.symmetric_difference(&listed).collect();
            if differ.is_empty() {
                Ok(())
            } else {
                Err(Failed::from(format!(
                    "in expected.txt or in the package alone: {differ:?}"
                )))
            }
        })];
        let shop = Shared::default();
        for expectation in run {
            let (shop, net) = (Arc::clone(&shop), net.clone());
            let label = format!("{} {}", expectation.file, expectation.arguments.join(" "));
            trials.push(Trial::test(label.trim_end().to_owned(), move || {
                let shop = shop.get_or_init(|| Workshop::new(&net));
                let shop = shop.as_ref().map_err(|error| Failed::from(error.clone()))?;
                shop.judge(&expectation).map_err(Failed::from)
            }));
        }
        trials.push(Trial::test(
            "a_program_whose_check_is_wrong_fails_and_one_whose_checks_are_right_passes",
            {
                let shop = Arc::clone(&shop);
                move || {
                    let shop = shop.get_or_init(|| Workshop::new(&net));
                    let shop = shop.as_ref().map_err(|error| Failed::from(error.clone()))?;
                    judges_rightly(shop).map_err(Failed::from)
                }
            },
        ));
        let conclusion = libtest_mimic::run(&arguments, trials);
        drop(shop);
        conclusion.exit_code()
    }

    /// Has two programs of our own judged, each with what is true of it and with what is not.
    fn judges_rightly(shop: &Workshop) -> Result<(), String> {
        const WRONG: &str = "not ok 1 port.second_bind_is_allowed";
        const RIGHT: &str = "ok 1 port.second_bind_is_refused";
        let cases = [
            ("right.c", true, RIGHT, None),
            ("right.c", false, RIGHT, Some("it passes, and expected.txt")),
            ("right.c", true, WRONG, Some("its output has no")),
            ("wrong.c", false, WRONG, None),
            ("wrong.c", true, WRONG, Some("exit status: 1")),
            ("wrong.c", false, RIGHT, Some("its output has no")),
        ];
        for (name, passes, output, complaint) in cases {
            let file = here("selftests/own").join(name);
            let verdict = shop.judge(&Expectation {
                file: file.display().to_string(),
                settings: String::new(),
                arguments: Vec::new(),
                passes,
                output: output.to_owned(),
            });
            let as_it_should = match (&verdict, complaint) {
                (Ok(()), None) => true,
                (Err(said), Some(complaint)) => said.contains(complaint),
                _ => false,
            };
            if !as_it_should {
                return Err(format!(
                    "{name}, passes: {passes}, '{output}': {verdict:?}, and not {complaint:?}"
                ));
            }
        }
        Ok(())
    }

    fn here(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn net() -> PathBuf {
        let request = lkl_build::Request::from_env().unwrap_or_else(|error| panic!("{error}"));
        let identity = lkl_build::source::identity(&request.source, &request.cache);
        let identity = identity.unwrap_or_else(|error| panic!("{error}"));
        let tree = lkl_build::source::unpack(&request.source, &identity, &request.cache);
        let tree = tree.unwrap_or_else(|error| panic!("{error}"));
        tree.path.join("tools/testing/selftests/net")
    }

    fn sources(net: &Path) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for folder in FOLDERS {
            let entries = fs::read_dir(net.join(folder)).expect("a folder of selftests");
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            all.extend(
                names
                    .filter(|name| name.ends_with(".c"))
                    .map(|name| format!("{folder}{name}")),
            );
        }
        all
    }

    /// All files that are listed, and those that are to be run.
    fn expectations() -> (BTreeSet<String>, Vec<Expectation>) {
        let text = fs::read_to_string(here("selftests/expected.txt")).expect("the list");
        let (mut listed, mut run) = (BTreeSet::new(), Vec::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
            let [program, what, rest] = parts.as_slice() else {
                panic!("{line}: three parts are wanted");
            };
            let mut words = program.split_whitespace().map(str::to_owned);
            let file = words.next().expect("a file's name");
            listed.insert(file.clone());
            let (settings, arguments): (Vec<_>, Vec<_>) =
                words.partition(|word| word.starts_with("net.") && word.contains('='));
            let passes = match *what {
                "passes" => true,
                "fails" => false,
                "not run" => continue,
                other => panic!("{line}: what is '{other}'?"),
            };
            run.push(Expectation {
                file,
                settings: settings.join("\n").replace(',', " "),
                arguments,
                passes,
                output: rest.split(';').next().unwrap_or_default().trim().to_owned(),
            });
        }
        (listed, run)
    }

    /// Runs a command; its output if it succeeds.
    fn done(command: &mut Command) -> Result<String, String> {
        let output = command
            .output()
            .map_err(|error| format!("{command:?}: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!(
                "{command:?}: {}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ))
        }
    }

    fn cc() -> Command {
        let mut cc = Command::new("cc");
        // The checks of _FORTIFY_SOURCE have names of their own, and take the stack that a child leaves for a broken one.
        cc.args(["-w", "-O1", "-U_FORTIFY_SOURCE", "-D_GNU_SOURCE"]);
        cc
    }

    impl Workshop {
        fn new(net: &Path) -> Result<Workshop, String> {
            let cargo = || {
                let mut cargo = Command::new(env!("CARGO"));
                cargo.current_dir(here("../.."));
                cargo
            };
            let headers = done(cargo().args(["run", "-q", "-p", "lkl-headers"]))?;
            done(cargo().args(["build", "-q", "-p", "lkl-c"]))?;
            let place = tempfile::tempdir().map_err(|error| error.to_string())?;
            let test = std::env::current_exe().map_err(|error| error.to_string())?;
            let built = test
                .ancestors()
                .nth(2)
                .ok_or("no target folder")?
                .join("liblkl_c.so");
            fs::copy(&built, place.path().join("liblkl.so.0"))
                .map_err(|error| format!("{}: {error}", built.display()))?;
            let shop = Workshop {
                place,
                net: net.to_owned(),
            };
            let object = shop.path("shim.o");
            let include = here("../../linux/c/include");
            done(
                cc().arg(format!("-I{}", headers.trim()))
                    .arg(format!("-I{}", include.display()))
                    .arg("-c")
                    .arg(here("selftests/shim.c"))
                    .arg("-o")
                    .arg(&object),
            )?;
            // Each function of the shim's takes the place of the one that it is named after.
            let symbols = done(Command::new("nm").arg("--defined-only").arg(&object))?;
            let names = symbols
                .lines()
                .filter_map(|line| line.rsplit(' ').next()?.strip_prefix("shim_"));
            let mut renamed = String::from("main shim_program\n");
            for name in names {
                renamed.push_str(&format!("{name} shim_{name}\n"));
            }
            fs::write(shop.path("renamed"), renamed).map_err(|error| error.to_string())?;
            Ok(shop)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.place.path().join(name)
        }

        fn judge(&self, expectation: &Expectation) -> Result<(), String> {
            let name = expectation.file.replace(['/', '.'], "_") + &expectation.arguments.concat();
            let (object, program) = (self.path(&format!("{name}.o")), self.path(&name));
            let include = |path: PathBuf| format!("-I{}", path.display());
            done(
                cc().arg(include(self.net.clone()))
                    // For our own, which are as deep as those of a folder there.
                    .arg(include(self.net.join("af_unix")))
                    .arg(include(self.net.join("..")))
                    .arg("-c")
                    .arg(self.net.join(&expectation.file))
                    .arg("-o")
                    .arg(&object),
            )?;
            let renamed = format!("--redefine-syms={}", self.path("renamed").display());
            done(Command::new("objcopy").arg(renamed).arg(&object))?;
            done(
                cc().arg("-o")
                    .arg(&program)
                    .arg(&object)
                    .arg(self.path("shim.o"))
                    .arg(self.path("liblkl.so.0"))
                    .args(["-lpthread", "-lm"]),
            )?;
            let output = Command::new("timeout")
                .args(["--kill-after=5", "30"])
                .arg(&program)
                .args(&expectation.arguments)
                .env("SHIM_SETTINGS", &expectation.settings)
                .env("LD_LIBRARY_PATH", self.place.path())
                .current_dir(self.place.path())
                .output()
                .map_err(|error| error.to_string())?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let tail: String = text
                .lines()
                .rev()
                .take(30)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .fold(String::new(), |all, line| all + line + "\n");
            match (expectation.passes, output.status.success()) {
                (true, false) => Err(format!("{}:\n{tail}", output.status)),
                (false, true) => Err(format!(
                    "it passes, and expected.txt says that it does not:\n{tail}"
                )),
                _ if !text.contains(&expectation.output) => {
                    Err(format!("its output has no '{}':\n{tail}", expectation.output))
                }
                _ => Ok(()),
            }
        }
    }
}

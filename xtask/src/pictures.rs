//! `cargo xtask pictures`: what a user sees, for the README, from real runs.
//!
//! `userctl` is run as on Windows: the driver that would be shipped is loaded in the NT kernel double (`double serve`), which
//! has a disk with two Linux partitions, and images on drive C: ([`material`]). What it prints, with its colours, becomes an
//! SVG in `doc/pictures`, one for each of [`SCENES`].
//!
//! Labels, UUIDs and dates of the images are fixed. What no two runs have in common is numbers (times, free memory) and which
//! letter goes to which of two partitions, so [`run`] leaves a picture as it is when the new one differs in nothing else, and
//! [`check`], a step of `cargo xtask test`, fails when one does: then a picture shows what the program does not print any
//! more.

mod material;
mod pages;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anstyle_svg::Term;
use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use crate::repo;
pub use pages::run as setup;
use server::Server;

/// A picture.
struct Scene {
    /// The file's name.
    name: &'static str,
    /// What stands before what is typed.
    prompt: &'static str,
    /// What is typed, without the program's name, and the exit code.
    typed: &'static [(&'static [&'static str], i32)],
}

/// A command prompt, as Windows shows it.
const WINDOWS: &str = "C:\\>";
/// The same on Linux: what needs no driver runs there as well, and this is where it ran.
const LINUX: &str = "$";

/// The pictures. Each has a machine of its own.
const SCENES: &[Scene] = &[
    Scene {
        name: "mount",
        prompt: WINDOWS,
        typed: &[
            (&["mount", "C:\\images\\server.qcow2", "L:"], 0),
            (&["ls", "-l", "L:", "/home/ada"], 0),
            (&["cat", "L:", "/etc/motd"], 0),
            (&["unmount", "L:"], 0),
        ],
    },
    Scene {
        name: "list",
        prompt: WINDOWS,
        typed: &[
            (&["mount", "C:\\images\\stick.img", "S:"], 0),
            (&["mount", "debian"], 0),
            (&["list"], 0),
        ],
    },
    Scene {
        name: "policy",
        prompt: WINDOWS,
        typed: &[
            (&["policy", "debian", "--letter", "R:", "--everyone", "no"], 0),
            (&["policy", "home", "--mount", "never"], 0),
            (&["policy"], 0),
        ],
    },
    Scene {
        name: "status",
        prompt: WINDOWS,
        typed: &[(&["mount", "C:\\images\\stick.img", "S:"], 0), (&["status"], 0)],
    },
    Scene {
        name: "files",
        prompt: LINUX,
        typed: &[
            (&["info", "server.qcow2"], 0),
            (&["ls", "-l", "server.qcow2", "/home/ada"], 0),
        ],
    },
    Scene {
        name: "errors",
        prompt: WINDOWS,
        typed: &[
            (&["mount", "C:\\images\\missing.img"], 3),
            (&["mount", "C:\\images\\notes.txt"], 4),
            (&["mount", "C:\\images\\stick.img", "C:"], 12),
            (&["unmount", "X:"], 14),
        ],
    },
];

/// The programs that take part.
pub struct Programs<'a> {
    /// The driver.
    pub driver: &'a Path,
    /// The double.
    pub double: &'a Path,
    /// The command line.
    pub userctl: &'a Path,
}

/// Draws all pictures; those that show the same stay.
pub fn run(sh: &Shell, programs: &Programs<'_>) -> Result<()> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    for (name, picture) in drawn(sh, programs)? {
        let path = folder.join(format!("{name}.svg"));
        if fs::read_to_string(&path).is_ok_and(|old| shows_the_same(&old, &picture)) {
            println!("pictures: {name}.svg shows the same as before");
            continue;
        }
        fs::write(&path, picture)?;
        println!("pictures: {name}.svg is new");
    }
    let names: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
    for stray in strays(&folder, &names)? {
        println!("pictures: {stray} is not drawn here");
    }
    Ok(())
}

/// Fails when a picture shows what the programs do not print any more.
pub fn check(sh: &Shell, programs: &Programs<'_>) -> Result<()> {
    let folder = folder();
    let mut stale = Vec::new();
    for (name, picture) in drawn(sh, programs)? {
        let path = folder.join(format!("{name}.svg"));
        match fs::read_to_string(&path) {
            Ok(old) if shows_the_same(&old, &picture) => println!("pictures: {name}.svg is what is printed"),
            Ok(old) => stale.push(format!("{name}.svg: {}", first_difference(&old, &picture))),
            Err(error) => stale.push(format!("{name}.svg: {error}")),
        }
    }
    let names: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
    for stray in strays(&folder, &names)? {
        stale.push(format!("{stray}: nobody draws it"));
    }
    if !stale.is_empty() {
        bail!(
            "pictures of the README are stale; `cargo xtask pictures` draws them:\n  {}",
            stale.join("\n  ")
        );
    }
    Ok(())
}

/// Where they are.
fn folder() -> PathBuf {
    repo::root().join("doc/pictures")
}

/// SVGs that no scene is for.
fn strays(folder: &Path, names: &[&str]) -> Result<Vec<String>> {
    let mut strays = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("there is no {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".svg")
            && !names.contains(&stem)
        {
            strays.push(name);
        }
    }
    Ok(strays)
}

/// Runs every scene; names and pictures.
fn drawn(sh: &Shell, programs: &Programs<'_>) -> Result<Vec<(&'static str, String)>> {
    let place = repo::target_dir().join("pictures");
    let material = material::make(sh, &place)?;
    let mut pictures = Vec::new();
    for scene in SCENES {
        let server = Server::start(programs, &material)?;
        let text = played(scene, programs, &server, &material.images)
            .with_context(|| format!("the picture {}", scene.name))?;
        server.end()?;
        pictures.push((scene.name, Term::new().min_width_px(860).render_svg(&text)));
    }
    Ok(pictures)
}

/// What is on the screen after a scene, with its colours.
fn played(scene: &Scene, programs: &Programs<'_>, server: &Server, images: &Path) -> Result<String> {
    let prompt = format!("\u{1b}[32m{}\u{1b}[0m", scene.prompt);
    let mut screen = String::new();
    for (words, code) in scene.typed {
        let typed = words.join(" ");
        screen.push_str(&format!("{prompt} \u{1b}[1muserctl {typed}\u{1b}[0m\n"));
        let mut command = server.client(programs.userctl);
        command.args(*words).current_dir(images);
        let output = command
            .env("CLICOLOR_FORCE", "1")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", programs.userctl.display()))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).context("not UTF-8")?;
        ensure!(
            output.status.code() == Some(*code),
            "userctl {typed}: {}, not exit {code}: {said}",
            output.status
        );
        screen.push_str(&said);
    }
    Ok(screen)
}

/// The lines of a picture, each with what may differ made equal.
fn text(picture: &str) -> Vec<String> {
    let Ok(document) = roxmltree::Document::parse(picture) else {
        return vec!["this is no picture".to_owned()];
    };
    let lines = document
        .descendants()
        .filter(|node| node.has_tag_name("tspan") && node.attribute("y").is_some());
    lines
        .map(|line| {
            let parts = line.descendants().filter(|node| node.is_text());
            let text: String = parts.filter_map(|node| node.text()).collect();
            let words: Vec<String> = text.split_whitespace().map(what_stays).collect();
            words.join(" ")
        })
        .collect()
}

/// A word with `#` for its numbers; `X:` for a drive letter.
fn what_stays(word: &str) -> String {
    if let [b'A'..=b'Z', b':'] = word.as_bytes() {
        return "X:".to_owned();
    }
    let mut out = String::new();
    for character in word.chars() {
        let is_digit = character.is_ascii_digit();
        if !(is_digit && out.ends_with('#')) {
            out.push(if is_digit { '#' } else { character });
        }
    }
    // With and without a fraction.
    out.replace("#.#", "#")
}

fn shows_the_same(old: &str, new: &str) -> bool {
    text(old) == text(new)
}

/// The first line in which two pictures differ.
fn first_difference(old: &str, new: &str) -> String {
    let (old, new) = (text(old), text(new));
    let at = (0..old.len().max(new.len())).find(|at| old.get(*at) != new.get(*at));
    let line = |lines: &[String]| at.and_then(|at| lines.get(at)).cloned().unwrap_or_default();
    format!("it shows {:?}, and now {:?} is printed", line(&old), line(&new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(text: &str) -> String {
        Term::new().render_svg(text)
    }

    #[test]
    fn a_drive_letter_may_be_another() {
        let picture = |letter| picture(&format!("C:\\>\n{letter}  ext4  {letter}\\x"));
        assert_eq!(text(&picture("D:")), ["C:\\>", "X: ext# D:\\x"]);
    }

    #[test]
    fn numbers_may_differ_and_nothing_else() {
        let old = picture("\u{1b}[1muserctl status\u{1b}[0m\nLinux:  6.12, booted in 34 ms <&>\n");
        for same in [
            "\u{1b}[1muserctl status\u{1b}[0m\nLinux:  6.12, booted in 9.5 ms <&>\n",
            "\u{1b}[1muserctl status\u{1b}[0m\nLinux: 6.1,  booted in 120 ms <&>\n",
        ] {
            assert!(shows_the_same(&old, &picture(same)), "{:?}", text(&picture(same)));
        }
        let other = picture("\u{1b}[1muserctl status\u{1b}[0m\nLinux:  6.12, started in 34 ms <&>\n");
        assert!(!shows_the_same(&old, &other));
        let said = first_difference(&old, &other);
        assert!(said.contains("booted") && said.contains("started"), "{said}");
        let longer = picture("\u{1b}[1muserctl status\u{1b}[0m\nLinux:  6.12, booted in 34 ms <&>\nmore\n");
        assert!(!shows_the_same(&old, &longer));
        assert!(!shows_the_same("no picture", &old));
    }

    #[test]
    fn a_picture_that_nobody_draws_is_found() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.svg", "b.svg", "setup.png"] {
            fs::write(place.path().join(name), "").unwrap();
        }
        assert_eq!(strays(place.path(), &["a"]).unwrap(), ["b.svg"]);
    }
}

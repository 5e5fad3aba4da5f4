//! Lines in backticks. There is no shell: these are the commands that Linux's own scripts have, and nothing else is run.
//!
//! A command is for the run's own network, which ends with it, so that what restores settings has nothing to do.

use super::network::Network;
use std::path::Path;

/// Runs lines; `folder` is the script's own, for `./NAME.sh`. `Err` names what went wrong.
pub fn run(lines: &str, network: &Network, folder: &Path) -> Result<(), String> {
    for line in lines.replace("\\\n", " ").lines() {
        let pipeline = words(line)?;
        if !pipeline.is_empty() {
            command(&pipeline, network, folder)?;
        }
    }
    Ok(())
}

/// The words of a line: quotes are taken away, `$((A*B))` is calculated, and what is redirected to nowhere is left out.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("$((") {
            let (inner, after) = rest[3..]
                .split_once("))")
                .ok_or_else(|| format!("{line}: no end of $(("))?;
            word.get_or_insert_default().push_str(&product(inner)?);
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let mut kept: Vec<String> = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "2>&1" => {}
            ">" => drop(words.next()),
            _ => kept.push(word),
        }
    }
    Ok(kept)
}

fn product(text: &str) -> Result<String, String> {
    let mut factors = text.split('*').map(|factor| factor.trim().parse::<u64>().ok());
    let product = factors.try_fold(1u64, |all, factor| all.checked_mul(factor?));
    product
        .map(|product| product.to_string())
        .ok_or_else(|| format!("$(({text})): only products of numbers are calculated"))
}

fn command(words: &[String], network: &Network, folder: &Path) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let namespace = network.namespace();
    match words.as_slice() {
        ["sysctl", arguments @ ..] => {
            let unknown_are_fine = arguments.contains(&"-e");
            for argument in arguments.iter().filter(|word| !word.starts_with('-')) {
                let (name, value) = argument
                    .split_once('=')
                    .ok_or_else(|| format!("sysctl: '{argument}' sets nothing"))?;
                match namespace.set_sysctl(name, value) {
                    Err(error) if !(unknown_are_fine && error.kind() == std::io::ErrorKind::NotFound) => {
                        return Err(format!("sysctl: {error}"));
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        ["./set_sysctls.py", settings @ ..] => {
            for setting in settings {
                let (path, value) = setting
                    .strip_prefix("/proc/sys/")
                    .and_then(|setting| setting.split_once('='))
                    .ok_or_else(|| format!("set_sysctls.py: '{setting}' sets nothing"))?;
                namespace
                    .set_sysctl(path, value)
                    .map_err(|error| format!("set_sysctls.py: {error}"))?;
            }
            Ok(())
        }
        ["tc", "qdisc", "add" | "replace", "dev", "tun0", "root", kind] => {
            network.set_queue(kind).map_err(|error| format!("tc: {error}"))
        }
        // The network is new, and has no metrics.
        ["ip", "tcp_metrics", "flush", "all"] => Ok(()),
        ["/tmp/sysctl_restore_${PPID}.sh"] => Ok(()),
        ["grep", first, files @ .., "|", "grep", second] => {
            let mut found = false;
            for file in files {
                let name = file
                    .strip_prefix("/proc/net/")
                    .ok_or_else(|| format!("grep: '{file}' is not below /proc/net"))?;
                let text = namespace
                    .read_proc(&format!("thread-self/net/{name}"))
                    .map_err(|error| format!("grep: {error}"))?;
                found |= text
                    .lines()
                    .any(|line| line.contains(first) && line.contains(second));
            }
            if found {
                Ok(())
            } else {
                Err(format!("grep: no line has '{first}' and '{second}'"))
            }
        }
        [script] if script.starts_with("./") && script.ends_with(".sh") => {
            let path = folder.join(script);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{script}: {error}"))?;
            run(&text, network, folder)
        }
        _ => Err(format!(
            "'{}' is not one of the commands that this runner has",
            words.join(" ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_line_has_words_as_a_shell_sees_them() {
        let line = "sysctl -q a=\"1 $((2*3))\" 'b c'  > /dev/null 2>&1 # d";
        assert_eq!(words(line).unwrap(), ["sysctl", "-q", "a=1 6", "b c"]);
        assert_eq!(words("  #!/bin/bash").unwrap(), [""; 0]);
        assert!(words("x=$((1+1))").is_err());
    }
}

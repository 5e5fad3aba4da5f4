//! Who signs what is packaged, and how it is checked.
//!
//! Without any setting it is a test certificate that is made once (`openssl`) and kept beside the package, so that
//! packaging twice gives the same bytes. Windows trusts it only on a machine whose owner says so; installer/README.md
//! tells how. Somebody with a real certificate sets `LKLFS_SIGN_COMMAND` to a shell command that signs the file whose
//! path is in `$1` in place (osslsigncode with a PKCS #11 token, signtool on another machine, a service), and
//! `LKLFS_SIGN_CA` to the certificates by which the result is checked.
//!
//! All signatures are SHA-256; images get page hashes too, by which Windows checks a driver page by page as it is read.
//! There is no time-stamp: that takes a network. A test signature ends with its certificate.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::stamp::Stamp;

/// Names the command that signs with a real certificate.
const COMMAND: &str = "LKLFS_SIGN_COMMAND";
/// Names the file of certificates by which its signatures are checked.
const AUTHORITIES: &str = "LKLFS_SIGN_CA";
/// Where Debian keeps those of the system.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The name in the test certificate. It says what it is to whoever is asked to trust it.
const TEST_SUBJECT: &str = "/O=lklfs/CN=lklfs test signing, for test machines only";

/// Signs and checks.
pub struct Signer {
    how: How,
    authorities: PathBuf,
    script: PathBuf,
}

enum How {
    Test { certificate: PathBuf },
    Command,
}

impl Signer {
    /// The signer that the environment asks for. The test certificate is kept in `keys`; `work` takes the script by
    /// which a file is signed ([`Signer::script`]).
    pub fn new(sh: &Shell, keys: &Path, work: &Path, stamp: &Stamp) -> Result<Signer> {
        let script = work.join("sign.sh");
        let command = std::env::var(COMMAND).ok().filter(|command| !command.is_empty());
        let (how, authorities, text) = match command {
            Some(command) => {
                let authorities = std::env::var_os(AUTHORITIES).unwrap_or_else(|| SYSTEM_AUTHORITIES.into());
                (How::Command, authorities.into(), format!("{command}\n"))
            }
            None => {
                let (key, certificate) = test_certificate(sh, keys)?;
                let text = test_script(sh, &key, &certificate, stamp)?;
                (
                    How::Test {
                        certificate: certificate.clone(),
                    },
                    certificate,
                    text,
                )
            }
        };
        fs::write(&script, format!("#!/bin/sh\nset -eu\n{text}"))?;
        Ok(Signer {
            how,
            authorities,
            script,
        })
    }

    /// Whether it is the test certificate.
    pub fn is_test(&self) -> bool {
        matches!(self.how, How::Test { .. })
    }

    /// A shell script that signs the file that is its only argument.
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// Signs `file` in place and checks the signature.
    pub fn sign(&self, sh: &Shell, file: &Path) -> Result<()> {
        let script = &self.script;
        cmd!(sh, "sh {script} {file}")
            .quiet()
            .ignore_stdout()
            .run()
            .with_context(|| format!("{} was not signed", file.display()))?;
        self.verify(sh, file, None)
    }

    /// Checks the signature of `file`, or, that `file` is in a catalogue and the catalogue's signature.
    pub fn verify(&self, sh: &Shell, file: &Path, catalogue: Option<&Path>) -> Result<()> {
        let authorities = &self.authorities;
        let catalogue: Vec<OsString> = match catalogue {
            Some(path) => vec!["-catalog".into(), path.into()],
            None => Vec::new(),
        };
        let output = cmd!(
            sh,
            "osslsigncode verify -CAfile {authorities} {catalogue...} -in {file}"
        )
        .quiet()
        .ignore_status()
        .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "osslsigncode does not accept {}:\n{said}{}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// The test certificate as Windows reads it (DER), for those who want to trust it.
    pub fn certificate(&self, sh: &Shell, to: &Path) -> Result<bool> {
        let How::Test { certificate } = &self.how else {
            return Ok(false);
        };
        cmd!(sh, "openssl x509 -in {certificate} -outform DER -out {to}")
            .quiet()
            .run()?;
        Ok(true)
    }
}

/// The key and the certificate, made if they are not there.
fn test_certificate(sh: &Shell, keys: &Path) -> Result<(PathBuf, PathBuf)> {
    let (key, certificate) = (keys.join("key.pem"), keys.join("certificate.pem"));
    if key.is_file() && certificate.is_file() {
        return Ok((key, certificate));
    }
    fs::create_dir_all(keys)?;
    cmd!(
        sh,
        "openssl req -x509 -newkey rsa:3072 -nodes -sha256 -days 3650 -subj {TEST_SUBJECT}
         -addext basicConstraints=critical,CA:false -addext keyUsage=critical,digitalSignature
         -addext extendedKeyUsage=codeSigning -keyout {key} -out {certificate}"
    )
    .quiet()
    .ignore_stderr()
    .run()
    .context("openssl makes no test certificate")?;
    Ok((key, certificate))
}

/// What signs with the test certificate. The time in a signature is the stamp's, where osslsigncode can be told.
fn test_script(sh: &Shell, key: &Path, certificate: &Path, stamp: &Stamp) -> Result<String> {
    let help = cmd!(sh, "osslsigncode --help")
        .quiet()
        .ignore_status()
        .ignore_stderr()
        .read()?;
    let seconds = stamp.seconds;
    // Debian 12 has 2.5, its backports a later one; the option changed its name.
    let time = [" -time ", " -st "]
        .into_iter()
        .find(|option| help.contains(option))
        .map_or(String::new(), |option| format!("{option}{seconds}"));
    let (key, certificate) = (key.display(), certificate.display());
    Ok(format!(
        "case \"$1\" in\n*.cat|*.cab) pages= ;;\n*) pages=-ph ;;\nesac\n\
         rm -f \"$1.signed\"\n\
         osslsigncode sign -certs '{certificate}' -key '{key}' -h sha256 $pages -n lklfs{time} \
         -in \"$1\" -out \"$1.signed\"\nmv \"$1.signed\" \"$1\"\n"
    ))
}

//! Image formats: what is in a disk does not depend on the format that its image has.

use std::path::Path;

use assert_cmd::Command;
use volumes::{Kind, Plan, make};

fn userctl(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_userctl"));
    let output = command
        .args(arguments)
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

fn qemu_img(place: &Path, arguments: &[&str]) {
    let output = std::process::Command::new("qemu-img")
        .current_dir(place)
        .args(arguments)
        .output()
        .expect("qemu-img; install qemu-utils");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {said}");
}

#[test]
fn the_manifest_is_the_same_in_every_format() {
    let made = make(Kind::named("ext4").unwrap(), &Plan::default()).unwrap();
    let raw = made.image.to_str().unwrap();
    let (code, expected, said) = userctl(&["manifest", raw]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(expected.lines().count() > 20, "{expected}");
    let place = tempfile::tempdir().unwrap();
    let makes: [(&str, &str, &str, &[&str]); 7] = [
        ("a.vhd", "VHD", "vpc", &["-o", "force_size=on"]),
        (
            "a-fixed.vhd",
            "VHD",
            "vpc",
            &["-o", "subformat=fixed,force_size=on"],
        ),
        ("a.vhdx", "VHDX", "vhdx", &[]),
        ("a.qcow2", "qcow2", "qcow2", &[]),
        (
            "a-small.qcow2",
            "qcow2",
            "qcow2",
            &["-c", "-o", "cluster_size=4k"],
        ),
        (
            "a-zstd.qcow2",
            "qcow2",
            "qcow2",
            &["-c", "-o", "compression_type=zstd"],
        ),
        ("a-extended.qcow2", "qcow2", "qcow2", &["-o", "extended_l2=on"]),
    ];
    for (name, format, by_qemu, options) in makes {
        let mut arguments = vec!["convert", "-t", "unsafe", "-f", "raw", "-O", by_qemu];
        arguments.extend(options);
        arguments.extend([raw, name]);
        qemu_img(place.path(), &arguments);
        let path = place.path().join(name);
        let path = path.to_str().unwrap();
        let (code, found, said) = userctl(&["manifest", path]);
        assert_eq!((code, said.as_str()), (0, ""), "{name}");
        assert!(found == expected, "{name}: the manifests differ");
        let (code, info, _) = userctl(&["info", "--json", path]);
        assert_eq!(code, 0, "{name}");
        assert!(
            info.contains(&format!("\"format\": \"{format}\"")),
            "{name}: {info}"
        );
    }
    // An image on an image, found by its name in the same folder and not in the current one.
    qemu_img(
        place.path(),
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            "a.vhdx",
            "-F",
            "vhdx",
            "top.qcow2",
        ],
    );
    let top = place.path().join("top.qcow2");
    assert_eq!(userctl(&["manifest", top.to_str().unwrap()]).1, expected);
}

#[test]
fn what_cannot_be_read_is_named() {
    let place = tempfile::tempdir().unwrap();
    let refused = |name: &str, words: &[&str]| {
        let path = place.path().join(name);
        let (code, _, said) = userctl(&["info", path.to_str().unwrap()]);
        assert_eq!(code, 3, "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in words {
            assert!(said.contains(word), "{word} is missing: {said}");
        }
    };
    qemu_img(place.path(), &["create", "-q", "-f", "vmdk", "a.vmdk", "2M"]);
    refused("a.vmdk", &["a.vmdk", "VMDK", "qemu-img convert"]);
    let lonely = [
        "create",
        "-q",
        "-u",
        "-f",
        "qcow2",
        "-b",
        "base.qcow2",
        "-F",
        "qcow2",
        "lonely.qcow2",
        "1M",
    ];
    qemu_img(place.path(), &lonely);
    refused(
        "lonely.qcow2",
        &["lonely.qcow2", "its parent base.qcow2 is not there"],
    );
    qemu_img(place.path(), &["create", "-q", "-f", "vhdx", "a.vhdx", "16M"]);
    let whole = std::fs::read(place.path().join("a.vhdx")).unwrap();
    std::fs::write(place.path().join("short.vhdx"), &whole[..2 << 20]).unwrap();
    refused("short.vhdx", &["short.vhdx", "incomplete", "get all of it"]);
}

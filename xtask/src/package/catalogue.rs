//! The catalogue (`lklfs.cat`): the hashes of the package's files, in the form that Windows signs and checks.
//!
//! A catalogue is a PKCS #7 signed message whose content is a certificate trust list (OID 1.3.6.1.4.1.311.10.1) with one
//! or more subjects for each file: the hash, and attributes that say how it was made. This writes version 2, which
//! Inf2Cat writes for Windows 8 and later: each file twice, by SHA-1 and by SHA-256, sorted by hash. A PE file is hashed
//! as Authenticode does, without checksum and signature; any other file as it is. What is made here has no signer yet:
//! `osslsigncode` signs a catalogue in place. It is also the judge, with `verify -catalog`, that the hashes are found.
//!
//! Nothing in a catalogue is random but its list identifier; here that is a hash of the subjects, so that the same files
//! give the same catalogue.

use anyhow::{Context, Result, ensure};
use der::asn1::{Any, BitString, BmpString, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use der::{DateTime, Encode, Sequence, Tag, ValueOrd};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::stamp::Stamp;

const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const TRUST_LIST: &str = "1.3.6.1.4.1.311.10.1";
const CATALOGUE: &str = "1.3.6.1.4.1.311.12.1.1";
const MEMBER_2: &str = "1.3.6.1.4.1.311.12.1.3";
const NAME_VALUE: &str = "1.3.6.1.4.1.311.12.2.1";
const MEMBER_INFO_2: &str = "1.3.6.1.4.1.311.12.2.3";
const INDIRECT_DATA: &str = "1.3.6.1.4.1.311.2.1.4";
const PE_IMAGE_DATA: &str = "1.3.6.1.4.1.311.2.1.15";
const FLAT_DATA: &str = "1.3.6.1.4.1.311.2.1.25";
const SHA_256: &str = "2.16.840.1.101.3.4.2.1";

/// The flags that Windows' own tools give an attribute of text: signed, in the catalogue, replaceable.
const TEXT_ATTRIBUTE: u32 = 0x1001_0001;
/// The systems for which the files are: Windows 7 to 11.
const SYSTEMS: &str = "2:6.1,2:6.2,2:6.3,2:10.0";

#[derive(Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
    parameters: Any,
}

#[derive(Sequence, ValueOrd)]
struct Attribute {
    oid: ObjectIdentifier,
    values: SetOfVec<Any>,
}

#[derive(Sequence)]
struct Subject {
    identifier: OctetString,
    attributes: SetOfVec<Attribute>,
}

#[derive(Sequence)]
struct NameValue {
    tag: BmpString,
    flags: u32,
    value: OctetString,
}

#[derive(Sequence)]
struct TypedValue {
    oid: ObjectIdentifier,
    value: Any,
}

#[derive(Sequence)]
struct DigestInfo {
    algorithm: Algorithm,
    digest: OctetString,
}

#[derive(Sequence)]
struct IndirectData {
    data: TypedValue,
    digest: DigestInfo,
}

#[derive(Sequence)]
struct PeImageData {
    flags: BitString,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    file: Any,
}

#[derive(Sequence)]
struct TrustList {
    usage: Vec<ObjectIdentifier>,
    identifier: OctetString,
    this_update: UtcTime,
    algorithm: Algorithm,
    subjects: Vec<Subject>,
}

#[derive(Sequence)]
struct Content {
    oid: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: Any,
}

#[derive(Sequence)]
struct SignedData {
    version: u8,
    algorithms: SetOfVec<Any>,
    content: Content,
    signers: SetOfVec<Any>,
}

/// A file of the package.
pub struct Member<'a> {
    /// Its name, without a folder.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// A catalogue of `members` that nobody has signed yet, as DER.
pub fn make(members: &[Member<'_>], stamp: &Stamp) -> Result<Vec<u8>> {
    let mut subjects = Vec::new();
    for member in members {
        let signed = authenticode_parts(member.bytes);
        let hashed = signed.clone().unwrap_or_else(|| vec![member.bytes]);
        let (mut short, mut long) = (Sha1::new(), Sha256::new());
        for part in hashed {
            short.update(part);
            long.update(part);
        }
        let (short, long) = (short.finalize(), long.finalize());
        let is_image = signed.is_some();
        subjects.push(subject(member.name, is_image, &short, None)?);
        subjects.push(subject(member.name, is_image, &long, Some(&long))?);
    }
    subjects.sort_by(|a, b| a.identifier.as_bytes().cmp(b.identifier.as_bytes()));
    let mut identity = Sha256::new();
    for subject in &subjects {
        identity.update(subject.identifier.as_bytes());
    }
    let identity = identity.finalize();
    let seconds = u64::try_from(stamp.seconds).context("a day before 1970")?;
    let list = TrustList {
        usage: vec![oid(CATALOGUE)?],
        identifier: OctetString::new(identity.get(..16).unwrap_or_default())?,
        this_update: UtcTime::from_date_time(DateTime::from_unix_duration(std::time::Duration::from_secs(
            seconds,
        ))?)?,
        algorithm: algorithm(MEMBER_2)?,
        subjects,
    };
    let signed = SignedData {
        version: 1,
        algorithms: SetOfVec::new(),
        content: Content {
            oid: oid(TRUST_LIST)?,
            content: Any::encode_from(&list)?,
        },
        signers: SetOfVec::new(),
    };
    let message = Content {
        oid: oid(SIGNED_DATA)?,
        content: Any::encode_from(&signed)?,
    };
    Ok(message.to_der()?)
}

/// One subject; `sha256` if this is the entry that says how the hash was made.
fn subject(name: &str, is_image: bool, hash: &[u8], sha256: Option<&[u8]>) -> Result<Subject> {
    let mut attributes = SetOfVec::new();
    // An empty [0] for an image, an empty [2] for any other file.
    let kind = if is_image { [0x80, 0] } else { [0x82, 0] };
    attributes.insert(attribute(MEMBER_INFO_2, der::Decode::from_der(&kind)?)?)?;
    attributes.insert(attribute(NAME_VALUE, text("File", name)?)?)?;
    attributes.insert(attribute(NAME_VALUE, text("OSAttr", SYSTEMS)?)?)?;
    if let Some(hash) = sha256 {
        attributes.insert(attribute(INDIRECT_DATA, indirect(is_image, hash)?)?)?;
    }
    Ok(Subject {
        identifier: OctetString::new(hash)?,
        attributes,
    })
}

fn attribute(name: &str, value: Any) -> Result<Attribute> {
    let mut values = SetOfVec::new();
    values.insert(value)?;
    Ok(Attribute {
        oid: oid(name)?,
        values,
    })
}

fn text(tag: &str, value: &str) -> Result<Any> {
    let units = value.encode_utf16().chain([0]);
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    Ok(Any::encode_from(&NameValue {
        tag: BmpString::from_utf8(tag)?,
        flags: TEXT_ATTRIBUTE,
        value: OctetString::new(bytes)?,
    })?)
}

/// SpcIndirectDataContent: what was hashed, and the hash.
fn indirect(is_image: bool, hash: &[u8]) -> Result<Any> {
    // SpcLink: a file, [2], whose name, [0] of SpcString, is empty.
    let link: Any = der::Decode::from_der(&[0xa2, 2, 0x80, 0])?;
    let data = if is_image {
        TypedValue {
            oid: oid(PE_IMAGE_DATA)?,
            value: Any::encode_from(&PeImageData {
                flags: BitString::new(0, Vec::new())?,
                file: link,
            })?,
        }
    } else {
        TypedValue {
            oid: oid(FLAT_DATA)?,
            value: link,
        }
    };
    Ok(Any::encode_from(&IndirectData {
        data,
        digest: DigestInfo {
            algorithm: algorithm(SHA_256)?,
            digest: OctetString::new(hash)?,
        },
    })?)
}

fn algorithm(name: &str) -> Result<Algorithm> {
    Ok(Algorithm {
        oid: oid(name)?,
        parameters: Any::encode_from(&Null)?,
    })
}

fn oid(text: &str) -> Result<ObjectIdentifier> {
    ObjectIdentifier::new(text).with_context(|| format!("{text} is no object identifier"))
}

/// The parts of a 64-bit image that Authenticode hashes: everything but the checksum, the directory entry of the
/// signature and the signature. `None` for any other file.
fn authenticode_parts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if !bytes.starts_with(b"MZ") {
        return None;
    }
    let header = number(0x3c)?;
    let optional = header.checked_add(24)?;
    let magic = bytes.get(optional..optional.checked_add(2)?)?;
    if bytes.get(header..header.checked_add(4)?)? != b"PE\0\0" || magic != [0x0b, 0x02] {
        return None;
    }
    let (checksum, entry) = (optional.checked_add(64)?, optional.checked_add(144)?);
    let (at, size) = (number(entry)?, number(entry.checked_add(4)?)?);
    let end = if at == 0 { bytes.len() } else { at };
    let mut parts = vec![
        bytes.get(..checksum)?,
        bytes.get(checksum.checked_add(4)?..entry)?,
        bytes.get(entry.checked_add(8)?..end)?,
    ];
    if at != 0 {
        parts.push(bytes.get(at.checked_add(size)?..)?);
    }
    Some(parts)
}

/// An error unless `catalogue` is a signed message of a trust list; what osslsigncode makes of it is checked by itself.
pub fn is_catalogue(bytes: &[u8]) -> Result<()> {
    let message: Content = der::Decode::from_der(bytes).context("not DER")?;
    ensure!(message.oid == oid(SIGNED_DATA)?, "not a signed message");
    ensure!(
        der::Tagged::tag(&message.content) == Tag::Sequence,
        "a signed message without content"
    );
    Ok(())
}

/// Whether a catalogue, signed or not, has a file's SHA-256, as Authenticode hashes it: as an octet string in its bytes.
pub fn has(catalogue: &[u8], file: &[u8]) -> bool {
    let mut hash = Sha256::new();
    for part in authenticode_parts(file).unwrap_or_else(|| vec![file]) {
        hash.update(part);
    }
    let string = [&[4, 32], &hash.finalize()[..]].concat();
    catalogue.windows(string.len()).any(|window| window == string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            version: "0.1.0".to_owned(),
            build: 1,
            seconds: 951_782_400,
            commit: String::new(),
        }
    }

    /// A 64-bit image of headers, some bytes and, if asked, a signature.
    fn image(checksum: u32, signature: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x200];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x58..0x5a].copy_from_slice(&[0x0b, 0x02]);
        bytes[0x58 + 64..0x58 + 68].copy_from_slice(&checksum.to_le_bytes());
        if !signature.is_empty() {
            bytes[0x58 + 144..0x58 + 148].copy_from_slice(&0x200u32.to_le_bytes());
            bytes[0x58 + 148..0x58 + 152].copy_from_slice(&(signature.len() as u32).to_le_bytes());
            bytes.extend(signature);
        }
        bytes
    }

    fn catalogue(bytes: &[u8]) -> Vec<u8> {
        make(&[Member { name: "a", bytes }], &stamp()).unwrap()
    }

    #[test]
    fn the_same_files_give_the_same_catalogue_and_others_another() {
        let made = catalogue(b"text");
        is_catalogue(&made).unwrap();
        assert_eq!(made, catalogue(b"text"));
        assert_ne!(made, catalogue(b"texts"));
        assert!(is_catalogue(b"text").is_err());
        assert!(has(&made, b"text") && !has(&made, b"texts"));
    }

    #[test]
    fn a_signature_and_a_checksum_do_not_change_an_images_hash() {
        assert_eq!(catalogue(&image(0, b"")), catalogue(&image(7, b"signature")));
        let mut other = image(0, b"");
        other[0x1ff] = 1;
        assert_ne!(catalogue(&image(0, b"")), catalogue(&other));
        let made = catalogue(&image(0, b""));
        assert!(has(&made, &image(7, b"signature")) && !has(&made, &other));
    }

    #[test]
    fn a_broken_image_is_a_file_like_any_other() {
        let mut broken = image(0, b"");
        broken[0x3c..0x40].fill(0xff);
        assert!(authenticode_parts(&broken).is_none());
        assert!(authenticode_parts(b"MZ").is_none());
        is_catalogue(&catalogue(&broken)).unwrap();
    }
}

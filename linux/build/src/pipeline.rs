//! The stages in their order, and what is kept of each.
//!
//! The ELF object is the base of both targets: asking for COFF makes it first. Each target's files have a key of their
//! own, so that a change of the converter does not compile Linux again.

use crate::cache::{self, Key};
use crate::check::{self, writes};
use crate::compiler::Compiler;
use crate::elf::Object;
use crate::error::io;
use crate::fragment::{self, Fragment};
use crate::kbuild::{self, Kbuild};
use crate::prune;
use crate::report::{self, Report};
use crate::source::{self, Tree};
use crate::{Artifacts, Error, Request, Target, archive, coff, link};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Builds the kernel library for `target`, or finds it in the cache.
pub fn build(target: Target, request: &Request) -> Result<Artifacts, Error> {
    no_patches(&request.patches())?;
    if target == Target::Coff && Compiler::of(&request.fragment())? == Compiler::Clang {
        return Err(Error::ElfOnly(request.config.clone()));
    }
    let source_id = source::identity(&request.source, &request.cache)?;
    let key = key(request, &source_id)?;
    let elf = artifacts(
        Target::Elf,
        request,
        &request.cache.join("kernel").join(&key),
        &key,
    );
    make(&elf.dir, |partial| kernel(request, &source_id, partial))?;
    match target {
        Target::Elf => Ok(elf),
        Target::Coff => {
            let coff = artifacts(
                Target::Coff,
                request,
                &request.cache.join("coff").join(&key),
                &key,
            );
            make(&coff.dir, |partial| convert(request, &elf, partial))?;
            Ok(coff)
        }
    }
}

/// Compiles the port alone, in a tree that has the configuration, or finds in the cache that it compiles. Says what there is to
/// say of it.
pub fn build_port(request: &Request) -> Result<String, Error> {
    no_patches(&request.patches())?;
    let source_id = source::identity(&request.source, &request.cache)?;
    let key = key(request, &source_id)?;
    let dir = request.cache.join("port").join(&key);
    make(&dir, |out| {
        let configured = configured(request, &source_id)?;
        configured.kbuild.compile_port()?;
        configured.report.save(&out.join("report.txt"))
    })?;
    let path = dir.join("report.txt");
    io(fs::read_to_string(&path), "cannot read", &path)
}

/// Makes the entry `dir` if it is not there; a new one is the occasion to remove old ones.
fn make(dir: &Path, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    cache::once(dir, |partial| {
        fill(partial)?;
        // What cannot be removed now is tried again with the next entry.
        let _ = prune::prune(dir.parent().unwrap_or(dir), SystemTime::now());
        Ok(())
    })
}

fn artifacts(target: Target, request: &Request, dir: &Path, key: &str) -> Artifacts {
    let object = match target {
        Target::Elf => "lkl.o",
        Target::Coff => "lkl.obj",
    };
    Artifacts {
        object: dir.join(object),
        library: dir.join(library_name(target, request)),
        config: dir.join("config"),
        key: key.to_owned(),
        dir: dir.to_owned(),
    }
}

fn library_name(target: Target, request: &Request) -> String {
    match target {
        Target::Elf => format!("liblkl-{}.a", request.config),
        Target::Coff => format!("lkl-{}.lib", request.config),
    }
}

/// The hash of everything that the result depends on.
fn key(request: &Request, source_id: &str) -> Result<String, Error> {
    let mut key = Key::new();
    key.part("builder", env!("LKL_BUILD_SELF").as_bytes());
    key.part("source", source_id.as_bytes());
    let compiler = Compiler::of(&request.fragment())?;
    // What an instrumented kernel alone has is no reason to build the others anew.
    key.tree("overlay", &request.overlay(), |file| {
        compiler == Compiler::Clang || !file.starts_with("fuzz")
    })?;
    for fragment in fragment::files(&request.fragment()) {
        key.part("fragment", &io(fs::read(&fragment), "cannot read", &fragment)?);
    }
    key.part(
        "make",
        format!("{:?} {:?}", kbuild::VARIABLES, kbuild::TARGETS).as_bytes(),
    );
    key.part("compiler", compiler.identity()?.as_bytes());
    key.part("ld", link::tool_version("ld")?.as_bytes());
    Ok(key.finish())
}

/// There is nothing in the folder for patches but a text that says so.
fn no_patches(folder: &Path) -> Result<(), Error> {
    let files = if folder.is_dir() {
        cache::files_under(folder)?
    } else {
        Vec::new()
    };
    match files.into_iter().find(|file| file != Path::new("README.md")) {
        Some(file) => Err(Error::Patches(folder.join(file))),
        None => Ok(()),
    }
}

/// A tree with its configuration, ready to be compiled; its folder is ours as long as this is there.
struct Configured {
    kbuild: Kbuild,
    work: PathBuf,
    report: Report,
    _lock: cache::Lock,
}

fn configured(request: &Request, source_id: &str) -> Result<Configured, Error> {
    let tree = source::unpack(&request.source, source_id, &request.cache)?;
    let fragment = Fragment::read(&request.fragment(), tree.version)?;
    let family = || {
        let id: String = source_id.chars().take(12).collect();
        request
            .cache
            .join("work")
            .join(format!("{id}-{}", request.config))
    };
    let work = request.object_tree.clone().unwrap_or_else(family);
    let lock = cache::lock(&work)?;
    let kbuild = prepare(&tree, request, &work)?;
    kbuild.configure(&fragment)?;
    let mut report = Report::new();
    report.line("linux", tree.version);
    report.line(
        "configuration",
        format!(
            "{} ({} symbols asked for, all granted)",
            request.config,
            fragment.len()
        ),
    );
    Ok(Configured {
        kbuild,
        work,
        report,
        _lock: lock,
    })
}

/// Makes the ELF object and what goes with it, in the folder `out`.
fn kernel(request: &Request, source_id: &str, out: &Path) -> Result<(), Error> {
    let Configured {
        kbuild,
        work,
        report,
        _lock,
    } = configured(request, source_id)?;
    let (objects, script) = kbuild.compile()?;
    let copy =
        |from: PathBuf, name: &str| io(fs::copy(&from, out.join(name)).map(drop), "cannot copy", &from);
    copy(kbuild.objects.join(".config"), "config")?;
    finish(request, &objects, &script, &work, report, out)?;
    copy(kbuild.log.clone(), "build.log")
}

/// Makes both objects in the folder `out` from a kbuild tree `objects` that was built by hand, past the cache and past
/// the check of the configuration. For work on the port.
pub fn relink(request: &Request, objects: &Path, out: &Path) -> Result<[Artifacts; 2], Error> {
    let (files, script) = kbuild::outputs(objects);
    cache::make_folder(out)?;
    io(
        fs::copy(objects.join(".config"), out.join("config")).map(drop),
        "cannot copy",
        &objects.join(".config"),
    )?;
    finish(request, &files, &script, out, Report::new(), out)?;
    let elf = artifacts(Target::Elf, request, out, "by-hand");
    let coff = artifacts(Target::Coff, request, &out.join("coff"), "by-hand");
    cache::make_folder(&coff.dir)?;
    convert(request, &elf, &coff.dir)?;
    Ok([elf, coff])
}

/// What a kernel's configuration says of its contract.
struct Face {
    /// The functions that it exports.
    api: Vec<String>,
    /// Whether it can write to disks.
    can_write: bool,
    /// What it was compiled by.
    compiler: Compiler,
}

impl Face {
    fn of(request: &Request, config: &Path) -> Result<Face, Error> {
        let text = io(fs::read_to_string(config), "cannot read", config)?;
        let has = |symbol: &str| text.lines().any(|line| line == symbol);
        let mut api = link::api(&request.contract())?;
        for (symbol, header) in request.additions() {
            if has(symbol) {
                api.extend(link::api(&header)?);
            }
        }
        let can_write = has(writes::SYMBOL);
        Ok(Face {
            api,
            can_write,
            compiler: Compiler::of(config)?,
        })
    }
}

/// Links, checks, and writes what follows from the ELF object into `out`, where its configuration is. A refused object stays
/// in `work`.
fn finish(
    request: &Request,
    objects: &[PathBuf],
    script: &Path,
    work: &Path,
    mut report: Report,
    out: &Path,
) -> Result<(), Error> {
    let face = Face::of(request, &out.join("config"))?;
    // First where a log or a refused object stays to be looked at.
    let linked = work.join("linked.o");
    link::link(face.compiler, objects, script, &face.api, &linked)?;
    let object = checked(&linked, &face)?;
    let path = out.join("lkl.o");
    io(fs::copy(&linked, &path).map(drop), "cannot write", &path)?;
    archive::write(Target::Elf, &path, &out.join(library_name(Target::Elf, request)))?;
    let symbols = out.join("symbols.txt");
    io(
        fs::write(&symbols, report::symbol_list(&object)),
        "cannot write",
        &symbols,
    )?;
    report.line("patches to linux", 0);
    report.line("lines of the port", lines(&request.overlay())?);
    report.object(&object);
    report.save(&out.join("report.txt"))
}

/// Reads the linked object and checks it.
fn checked(path: &Path, face: &Face) -> Result<Object, Error> {
    let bytes = io(fs::read(path), "cannot read", path)?;
    let object = Object::parse(&bytes, &path.display().to_string())?;
    let mut findings = check::all(&object, &face.api);
    if !face.can_write {
        findings.extend(writes::check(&object));
    }
    if findings.is_empty() {
        Ok(object)
    } else {
        Err(Error::Object {
            object: path.to_owned(),
            findings,
        })
    }
}

fn prepare(tree: &Tree, request: &Request, work: &Path) -> Result<Kbuild, Error> {
    let kbuild = Kbuild {
        tree: work.join("tree"),
        objects: work.join("obj"),
        log: work.join("build.log"),
        jobs: request.jobs,
        compiler: Compiler::of(&request.fragment())?,
    };
    kbuild.forget_other_headers(&request.overlay())?;
    cache::make_folder(&kbuild.objects)?;
    source::overlay(&tree.path, &request.overlay(), &kbuild.tree)?;
    io(fs::write(&kbuild.log, ""), "cannot write", &kbuild.log)?;
    Ok(kbuild)
}

/// Makes the COFF object from the ELF one, in the folder `out`.
fn convert(request: &Request, elf: &Artifacts, out: &Path) -> Result<(), Error> {
    let api = Face::of(request, &elf.config)?.api;
    let bytes = io(fs::read(&elf.object), "cannot read", &elf.object)?;
    let object = Object::parse(&bytes, &elf.object.display().to_string())?;
    let (coff, summary) = coff::convert(&object, &api)?;
    let path = out.join("lkl.obj");
    io(fs::write(&path, &coff), "cannot write", &path)?;
    archive::write(
        Target::Coff,
        &path,
        &out.join(library_name(Target::Coff, request)),
    )?;
    for name in ["config", "symbols.txt"] {
        io(
            fs::copy(elf.dir.join(name), out.join(name)).map(drop),
            "cannot copy",
            &elf.dir.join(name),
        )?;
    }
    let mut report = Report::new();
    report.line("object", format!("{} bytes", coff.len()));
    report.coff(&summary);
    report.save(&out.join("report.txt"))
}

/// Lines in all files of the port.
fn lines(folder: &Path) -> Result<usize, Error> {
    let mut lines = 0;
    for file in cache::files_under(folder)? {
        let path = folder.join(file);
        lines += io(fs::read(&path), "cannot read", &path)?
            .split(|byte| *byte == b'\n')
            .count()
            .saturating_sub(1);
    }
    Ok(lines)
}

//! The set-up program's pages, as a picture: `cargo xtask pictures --setup`.
//!
//! The program that `cargo xtask package` has made is run under Wine on a screen that nobody sees (Xvfb). A small program
//! there (`camera.c`) presses "Next" and takes a picture of each page; three of them are put side by side. It is drawn on
//! demand only: it takes a package, and says little that a test could compare.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use png::{BitDepth, ColorType, Compression, Encoder};
use xshell::{Shell, cmd};

use crate::repo;
use crate::wine::machine::Machine;

/// What takes the pictures.
const CAMERA: &str = include_str!("camera.c");
/// The pages with a button "Next" in their order, and which are shown: welcome, components, folder, end.
const PAGES: [(&str, bool); 4] = [
    ("welcome.ppm", true),
    ("components.ppm", true),
    ("-", false),
    ("end.ppm", true),
];
/// How long any program may stand still, in seconds.
const STILL: u32 = 150;
const TIME: Duration = Duration::from_secs(9 * 60);
/// Pixels between pages.
const GAP: usize = 8;
/// The most that a picture in the repository may have, in bytes.
const MOST: usize = 100 << 10;

/// Draws `setup.png`.
pub fn run(sh: &Shell) -> Result<()> {
    let setup = newest(&repo::target_dir().join("package"))?;
    let folder = repo::target_dir().join("pictures-setup");
    let mut machine = Machine::fresh(&folder, TIME)?;
    let screen = Screen::start()?;
    machine.show_on(&screen.name);
    fs::copy(&setup, folder.join("setup.exe"))?;
    let source = folder.join("camera.c");
    fs::write(&source, CAMERA)?;
    let camera = folder.join("camera.exe");
    cmd!(
        sh,
        "x86_64-w64-mingw32-gcc -Wall -Wextra -Werror -O1 -s -municode -o {camera} {source} -luser32 -lgdi32"
    )
    .quiet()
    .run()
    .context("the camera does not compile")?;
    machine.on()?;
    let mut words = vec!["setup.exe"];
    words.extend(PAGES.map(|(name, _)| name));
    let ended = machine.run("camera.exe", &words, STILL)?;
    machine.off()?;
    ensure!(ended.code == 0, "the camera: {ended}");
    let shown = PAGES.iter().filter(|(_, shown)| *shown);
    let pages: Vec<Page> = shown
        .map(|(name, _)| {
            let bytes = fs::read(folder.join(name))?;
            Page::read(&bytes).with_context(|| format!("{name} is no picture"))
        })
        .collect::<Result<_>>()?;
    let bytes = side_by_side(&pages)?;
    ensure!(
        bytes.len() <= MOST,
        "setup.png has {} bytes, which is more than a repository should carry",
        bytes.len()
    );
    fs::write(super::folder().join("setup.png"), &bytes)?;
    println!(
        "pictures: setup.png: {} pages of {}, {} bytes",
        pages.len(),
        setup.file_name().unwrap_or_default().to_string_lossy(),
        bytes.len()
    );
    Ok(())
}

/// The set-up program that was made last.
fn newest(folder: &Path) -> Result<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context("there is no package: run `cargo xtask package` first")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with("-setup.exe") {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    let last = found.into_iter().max();
    Ok(last
        .context("there is no set-up program: run `cargo xtask package` first")?
        .1)
}

/// A picture: three bytes a pixel.
struct Page {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Page {
    /// Reads a portable pixmap as the camera writes it.
    fn read(bytes: &[u8]) -> Option<Page> {
        let mut rest = bytes.strip_prefix(b"P6\n")?;
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at_checked(end)?;
            rest = after.get(1..)?;
            std::str::from_utf8(line).ok()
        };
        let (width, height) = line()?.split_once(' ')?;
        line()?;
        let (width, height) = (width.parse().ok()?, height.parse().ok()?);
        let pixels = rest.to_vec();
        (pixels.len() == 3 * width * height && !pixels.is_empty()).then_some(Page {
            width,
            height,
            pixels,
        })
    }

    /// The bytes of a row, white below the picture.
    fn row(&self, row: usize) -> Vec<u8> {
        let row = self.pixels.chunks_exact(3 * self.width).nth(row);
        row.map_or_else(|| vec![255; 3 * self.width], <[u8]>::to_vec)
    }
}

/// One picture, as a PNG.
fn side_by_side(pages: &[Page]) -> Result<Vec<u8>> {
    let height = pages.iter().map(|page| page.height).max().unwrap_or(0);
    let mut width = 0;
    let mut pixels = Vec::new();
    for row in 0..height {
        let rows: Vec<Vec<u8>> = pages.iter().map(|page| page.row(row)).collect();
        let line = rows.join([255; 3 * GAP].as_slice());
        width = line.len() / 3;
        pixels.extend(line);
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}

/// A screen that nobody sees; it goes with this.
struct Screen {
    child: Child,
    name: String,
}

impl Screen {
    fn start() -> Result<Screen> {
        let mut child = Command::new("Xvfb")
            // It chooses a number that is free, and prints it when it is ready.
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "800x600x24",
                "-nolisten",
                "tcp",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run Xvfb")?;
        let output = child.stdout.take();
        let mut screen = Screen {
            child,
            name: String::new(),
        };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        ensure!(!line.trim().is_empty(), "Xvfb does not start");
        screen.name = format!(":{}", line.trim());
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_different_heights_stand_side_by_side() {
        let page = |text: &str, pixels: &[u8]| Page::read(&[text.as_bytes(), pixels].concat());
        let one = page("P6\n1 2\n255\n", &[1, 2, 3, 4, 5, 6]).unwrap();
        let two = page("P6\n2 1\n255\n", &[10; 6]).unwrap();
        let bytes = side_by_side(&[one, two]).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (3 + 8, 2));
        assert_eq!(pixels[..6], [1, 2, 3, 255, 255, 255]);
        assert_eq!(pixels[27..39], [10, 10, 10, 10, 10, 10, 4, 5, 6, 255, 255, 255]);
        for bad in ["P5\n1 1\n255\n", "P6\n1 1\n", "P6\n1 1\n255\n", "P6\n0 0\n255\n"] {
            assert!(page(bad, &[]).is_none(), "{bad:?}");
        }
    }
}

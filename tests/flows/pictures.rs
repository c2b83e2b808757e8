//! Pictures made byte by byte, so that they can be wrong in just one way.

use anyhow::{Context, Result};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A PNG whose header says this size (grey, one byte a pixel), and whose data unpacks to `rows`
/// rows of black in that width.
pub(crate) fn png(width: u32, height: u32, rows: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 0, 0, 0, 0]);
    let unpacked = u64::from(rows) * (u64::from(width) + 1);
    let mut file = PNG.to_vec();
    file.extend(chunk(*b"IHDR", &header));
    file.extend(chunk(*b"IDAT", &zeros_packed(unpacked)));
    file.extend(chunk(*b"IEND", &[]));
    file
}

/// Width and height that the header of a PNG says.
pub(crate) fn size(png: &[u8]) -> Result<(u32, u32)> {
    let header = png.strip_prefix(PNG).and_then(|it| it.get(8..16)).context("no PNG")?;
    let (width, height) = header.split_at(4);
    Ok((u32::from_be_bytes(width.try_into()?), u32::from_be_bytes(height.try_into()?)))
}

/// A GIF of this many frames, each of one pixel, on a canvas of this size.
pub(crate) fn gif(width: u16, height: u16, frames: usize) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff]);
    for _ in 0..frames {
        // An image of one pixel, its code size, its data in one block, and the end of its blocks.
        file.extend([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
    }
    file.push(0x3b);
    file
}

fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    let length = u32::try_from(data.len()).expect("a story's picture is small");
    [&length.to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// The CRC-32 of PNG and of gzip.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// A zlib stream that unpacks to this many zeros, 1,032 times shorter than they are.
fn zeros_packed(count: u64) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, in the codes that need no table; a zero, then that zero again and again.
    bits.low_first(0b011, 3);
    bits.high_first(0x30, 8);
    let rest = count.saturating_sub(1);
    for _ in 0..rest / 258 {
        bits.high_first(0b1100_0101, 8);
        bits.high_first(0, 5);
    }
    for _ in 0..rest % 258 {
        bits.high_first(0x30, 8);
    }
    bits.high_first(0, 7);
    // Adler-32 of zeros: the first sum stays 1, the second counts them.
    let sum = u32::try_from(count % 65_521).expect("a remainder is small") << 16 | 1;
    [&[0x78, 0x01][..], &bits.bytes, &sum.to_be_bytes()].concat()
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn one(&mut self, bit: u32) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit == 1) << (self.used % 8);
        }
        self.used += 1;
    }

    fn low_first(&mut self, value: u32, count: u32) {
        (0..count).for_each(|at| self.one(value >> at & 1));
    }

    fn high_first(&mut self, value: u32, count: u32) {
        (0..count).rev().for_each(|at| self.one(value >> at & 1));
    }
}

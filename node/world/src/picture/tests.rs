//! Thumbnails of honest, turned, damaged and hostile pictures.

use std::io::Cursor;

use bolero::check;
use image::{
    AnimationDecoder, Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::gif::{GifDecoder, GifEncoder},
};

use super::{
    Format, Method, Picture, PictureError, Size, Thumbnail, animated_thumbnail, probe, thumbnail,
};

/// Left half red, right half blue.
fn halves(width: u32, height: u32) -> DynamicImage {
    let paint = |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) };
    RgbImage::from_fn(width, height, paint).into()
}

fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn pixels(thumbnail: &Thumbnail) -> RgbaImage {
    let image = image::load_from_memory(&thumbnail.bytes).unwrap();
    assert_eq!((image.width(), image.height()), (thumbnail.width, thumbnail.height));
    image.to_rgba8()
}

fn near(a: Rgba<u8>, b: [u8; 3]) -> bool {
    a.0.iter().zip(b).all(|(a, b)| a.abs_diff(b) < 40)
}

const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];

#[test]
fn sizes_keep_proportions_and_never_grow() {
    for (source, wanted, method, expected) in [
        ((400, 200), (100, 100), Method::Scale, (100, 50)),
        ((200, 400), (100, 100), Method::Scale, (50, 100)),
        ((400, 200), (100, 100), Method::Crop, (100, 100)),
        ((40, 20), (100, 100), Method::Scale, (40, 20)),
        ((40, 20), (100, 100), Method::Crop, (20, 20)),
        ((40, 20), (100, 50), Method::Crop, (40, 20)),
        ((400, 1), (100, 100), Method::Scale, (100, 1)),
        ((400, 1), (100, 100), Method::Crop, (1, 1)),
        ((1000, 3), (7, 5), Method::Crop, (4, 3)),
        ((10, 10), (0, 0), Method::Scale, (1, 1)),
        ((10, 10), (u32::MAX, u32::MAX), Method::Crop, (10, 10)),
        ((10, 20), (u32::MAX, 1), Method::Crop, (10, 1)),
    ] {
        let bytes = file(&halves(source.0, source.1), ImageFormat::Png);
        let size = Size { width: wanted.0, height: wanted.1 };
        let small = thumbnail(&bytes, size, method).unwrap();
        assert_eq!((small.width, small.height), expected, "{source:?} {wanted:?} {method:?}");
        pixels(&small);
    }
}

#[test]
fn one_long_row_keeps_its_colours() {
    for (width, height) in [(4_000, 1), (4_000, 3)] {
        let bytes = file(&halves(width, height), ImageFormat::Png);
        let size = Size { width: 40, height: 40 };
        let small = thumbnail(&bytes, size, Method::Scale).unwrap();
        assert_eq!((small.width, small.height), (40, 1));
        let pixels = pixels(&small);
        assert!(near(*pixels.get_pixel(2, 0), RED) && near(*pixels.get_pixel(37, 0), BLUE));
    }
}

#[test]
fn the_format_follows_the_source() {
    let size = Size { width: 20, height: 20 };
    for (format, ours, out) in [
        (ImageFormat::Png, Format::Png, "image/png"),
        (ImageFormat::Jpeg, Format::Jpeg, "image/jpeg"),
        (ImageFormat::Gif, Format::Gif, "image/png"),
        (ImageFormat::WebP, Format::WebP, "image/png"),
    ] {
        let bytes = file(&halves(80, 40), format);
        assert_eq!(probe(&bytes), Ok(Picture { format: ours, width: 80, height: 40 }));
        assert_eq!(ours.content_type(), format.to_mime_type());
        let small = thumbnail(&bytes, size, Method::Scale).unwrap();
        assert_eq!(small.content_type, out);
        let pixels = pixels(&small);
        assert!(near(*pixels.get_pixel(2, 5), RED) && near(*pixels.get_pixel(17, 5), BLUE));
    }
    let grey = DynamicImage::ImageLuma8(halves(80, 40).to_luma8());
    let small = thumbnail(&file(&grey, ImageFormat::Jpeg), size, Method::Crop).unwrap();
    assert!(!image::load_from_memory(&small.bytes).unwrap().color().has_color());
}

#[test]
fn transparency_survives() {
    let clear = RgbaImage::from_pixel(64, 64, Rgba([0, 255, 0, 0])).into();
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let small = thumbnail(&file(&clear, format), Size { width: 8, height: 8 }, Method::Crop);
        assert_eq!(pixels(&small.unwrap()).get_pixel(4, 4).0[3], 0);
    }
}

/// A GIF of frames in these colours, each shown for 100 ms.
fn gif(width: u32, height: u32, colors: &[[u8; 3]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for [r, g, b] in colors {
        let picture = RgbaImage::from_pixel(width, height, Rgba([*r, *g, *b, 255]));
        let delay = Delay::from_numer_denom_ms(100, 1);
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).unwrap();
    }
    drop(encoder);
    bytes
}

/// A GIF of frames that each paint one dot, for next to no bytes.
fn dots(width: u16, height: u16, frames: usize) -> Vec<u8> {
    let (width, height) = (width.to_le_bytes(), height.to_le_bytes());
    let mut bytes = [b"GIF89a".as_slice(), &width, &height, &[0x80, 0, 0]].concat();
    bytes.extend([0, 0, 0, 0xff, 0xff, 0xff]);
    for _ in 0..frames {
        bytes.extend([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
    }
    bytes.push(0x3b);
    bytes
}

/// A PNG that is red, then blue, each for 100 ms.
fn apng() -> Vec<u8> {
    let of = |[r, g, b]: [u8; 3]| {
        let file = file(&RgbImage::from_pixel(30, 30, Rgb([r, g, b])).into(), ImageFormat::Png);
        let at = file.windows(4).position(|it| it == b"IDAT").unwrap();
        let length = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
        (file[8..33].to_vec(), file[at + 4..at + 4 + length].to_vec())
    };
    let ((header, red), (_, blue)) = (of(RED), of(BLUE));
    let control = |number: u32| {
        let mut body = b"fcTL".to_vec();
        for part in [number, 30, 30, 0, 0] {
            body.extend(part.to_be_bytes());
        }
        body.extend([0, 100, 3, 232, 0, 0]);
        body
    };
    let mut bytes = [b"\x89PNG\r\n\x1a\n".as_slice(), &header].concat();
    for body in [
        b"acTL\0\0\0\x02\0\0\0\0".to_vec(),
        control(0),
        [b"IDAT".as_slice(), &red].concat(),
        control(1),
        [b"fdAT\0\0\0\x02".as_slice(), &blue].concat(),
        b"IEND".to_vec(),
    ] {
        bytes.extend(chunk(&body));
    }
    bytes
}

#[test]
fn an_animation_shows_its_first_frame_or_moves() {
    let size = Size { width: 10, height: 10 };
    for bytes in [gif(30, 30, &[RED, BLUE]), apng()] {
        let small = thumbnail(&bytes, size, Method::Scale).unwrap();
        assert_eq!(small.content_type, "image/png");
        assert!(near(*pixels(&small).get_pixel(5, 5), RED));

        let small = animated_thumbnail(&bytes, size, Method::Crop).unwrap();
        assert_eq!((small.content_type, small.width, small.height), ("image/gif", 10, 10));
        let frames = GifDecoder::new(Cursor::new(&small.bytes)).unwrap().into_frames();
        let frames = frames.collect_frames().unwrap();
        let shown: Vec<_> = frames.iter().map(|it| *it.buffer().get_pixel(5, 5)).collect();
        assert!(near(shown[0], RED) && near(shown[1], BLUE) && shown.len() == 2);
        assert_eq!(frames[1].delay().numer_denom_ms(), (100, 1));
    }
}

#[test]
fn what_does_not_move_or_moves_too_much_stands_still() {
    let size = Size { width: 800, height: 800 };
    for (bytes, why) in [
        (file(&halves(40, 20), ImageFormat::Jpeg), "no animation"),
        (file(&halves(40, 20), ImageFormat::Png), "no animation"),
        (file(&halves(40, 20), ImageFormat::WebP), "no animation"),
        (gif(40, 20, &[RED]), "one frame"),
        (dots(2_000, 2_000, 26), "read too much"),
        (dots(800, 800, 32), "written too much"),
    ] {
        let still = thumbnail(&bytes, size, Method::Scale);
        assert_eq!(animated_thumbnail(&bytes, size, Method::Scale), still, "{why}");
    }
    let mut damaged = gif(30, 30, &[RED, BLUE]);
    damaged.truncate(damaged.len() - 20);
    let still = thumbnail(&damaged, size, Method::Scale);
    assert!(still.is_ok());
    assert_eq!(animated_thumbnail(&damaged, size, Method::Scale), still, "damaged");
}

/// A JPEG with an EXIF block that says how the camera was held.
fn turned_jpeg(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let jpeg = file(&halves(width, height), ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap();
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn pictures_are_held_upright() {
    let bytes = turned_jpeg(80, 40, 6);
    assert_eq!(probe(&bytes), Ok(Picture { format: Format::Jpeg, width: 40, height: 80 }));
    let small = thumbnail(&bytes, Size { width: 20, height: 40 }, Method::Scale).unwrap();
    assert_eq!((small.width, small.height), (20, 40));
    let upright = pixels(&small);
    // A quarter turn to the right: what was left is on top.
    assert!(near(*upright.get_pixel(10, 5), RED) && near(*upright.get_pixel(10, 35), BLUE));
    let small = thumbnail(&turned_jpeg(80, 40, 3), Size { width: 20, height: 20 }, Method::Scale);
    let upright = pixels(&small.unwrap());
    assert!(near(*upright.get_pixel(2, 5), BLUE) && near(*upright.get_pixel(17, 5), RED));
    assert_eq!(probe(&turned_jpeg(80, 40, 99)).map(|picture| picture.width), Ok(80));
}

/// A PNG that claims a size and holds next to nothing.
fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    for body in [header, b"IDAT\x78\x9c\x03\0\0\0\0\x01".to_vec(), b"IEND".to_vec()] {
        bytes.extend(chunk(&body));
    }
    bytes
}

/// A part of a PNG, whose kind stands before its data.
fn chunk(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() - 4).unwrap();
    [&length.to_be_bytes(), body, &crc32(body).to_be_bytes()].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (!(crc & 1)).wrapping_add(1))
        })
    })
}

#[test]
fn bombs_are_refused_by_their_headers() {
    let size = Size { width: 96, height: 96 };
    let gif = [b"GIF89a".as_slice(), &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x2c], &[0; 64]].concat();
    for bytes in [png_bomb(60_000, 60_000), png_bomb(50_000_001, 1), png_bomb(8_000, 8_000), gif] {
        assert_eq!(probe(&bytes), Err(PictureError::TooLarge));
        assert_eq!(thumbnail(&bytes, size, Method::Scale), Err(PictureError::TooLarge));
    }
    // A size that is allowed and not there is damage.
    assert_eq!(probe(&png_bomb(7_000, 7_000)).map(|picture| picture.width), Ok(7_000));
    assert_eq!(thumbnail(&png_bomb(100, 100), size, Method::Scale), Err(PictureError::Broken));
    assert_eq!(thumbnail(&png_bomb(0, 100), size, Method::Scale), Err(PictureError::Broken));
}

#[test]
fn what_is_no_picture_is_said_to_be_none() {
    let size = Size { width: 96, height: 96 };
    for bytes in
        [b"".as_slice(), b"\x89PN", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"BM\0\0\0\0"]
    {
        assert_eq!(probe(bytes), Err(PictureError::Unsupported));
        assert_eq!(thumbnail(bytes, size, Method::Crop), Err(PictureError::Unsupported));
    }
}

#[test]
fn damaged_pictures_are_answered_with_an_error() {
    let size = Size { width: 4, height: 4 };
    let seeds: Vec<Vec<u8>> =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP]
            .into_iter()
            .map(|format| file(&halves(16, 9), format))
            .chain([gif(16, 9, &[RED, BLUE]), apng()])
            .collect();
    for seed in &seeds {
        for end in 0..seed.len() {
            let _ = thumbnail(&seed[..end], size, Method::Crop);
            let _ = animated_thumbnail(&seed[..end], size, Method::Crop);
        }
    }
    for seed in &seeds[..4] {
        assert!(thumbnail(&seed[..seed.len() / 2], size, Method::Crop).is_err());
    }
    check!().with_type::<(usize, usize, u8, Vec<u8>)>().for_each(|(pick, at, byte, bytes)| {
        let mut damaged = seeds[pick % seeds.len()].clone();
        let at = at % damaged.len();
        damaged[at] = *byte;
        for bytes in [bytes, &damaged] {
            // Only what is small is decoded here: the fuzzer is to look at many.
            if probe(bytes).is_ok_and(|picture| picture.width.max(picture.height) < 256) {
                let _ = thumbnail(bytes, size, Method::Scale);
                let _ = animated_thumbnail(bytes, size, Method::Scale);
            }
        }
    });
}

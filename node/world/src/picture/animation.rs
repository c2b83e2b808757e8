//! Thumbnails that move, of pictures that do.

use std::io::Cursor;

use image::{
    AnimationDecoder, DynamicImage, Frame, Frames, ImageDecoder,
    codecs::{
        gif::{GifDecoder, GifEncoder, Repeat},
        png::PngDecoder,
        webp::WebPDecoder,
    },
};

use super::{Format, Method, PictureError, Size, Thumbnail, limits, open, shrink, thumbnail};

/// Most pixels of all frames together that are decoded: about a second of work.
const PIXELS_MAX: u64 = 100_000_000;
/// Most pixels of all frames together that are written, so that a thumbnail stays a small file.
const WRITTEN_MAX: u64 = 20_000_000;
/// How hard the encoder looks for the right colours: from 1, which is best, to 30, which is fastest.
const ENCODER_SPEED: i32 = 10;

/// Makes a thumbnail that moves as the picture does: a GIF, whatever the animation is kept in.
///
/// Of a picture that does not move, or has more than 100 million pixels in all its frames, or would
/// give more than 20 million, it is the one of [`thumbnail`].
pub fn animated_thumbnail(
    bytes: &[u8],
    size: Size,
    method: Method,
) -> Result<Thumbnail, PictureError> {
    let (format, decoder) = open(bytes)?;
    drop(decoder);
    // Where a later frame is damaged the first one may still be worth showing.
    let moving =
        frames_of(bytes, format).and_then(|it| it.map_or(Ok(None), |it| draw(it, size, method)));
    match moving {
        Ok(Some(made)) => Ok(made),
        Ok(None) | Err(_) => thumbnail(bytes, size, method),
    }
}

/// The frames of an animation, each as large as the whole picture; nothing where it is none.
fn frames_of(bytes: &[u8], format: Format) -> Result<Option<Frames<'_>>, PictureError> {
    let reader = Cursor::new(bytes);
    Ok(match format {
        Format::Jpeg => None,
        Format::Gif => {
            let mut decoder = GifDecoder::new(reader)?;
            decoder.set_limits(limits())?;
            Some(decoder.into_frames())
        }
        Format::Png => {
            let decoder = PngDecoder::with_limits(reader, limits())?;
            if decoder.is_apng()? { Some(decoder.apng()?.into_frames()) } else { None }
        }
        Format::WebP => {
            let mut decoder = WebPDecoder::new(reader)?;
            decoder.set_limits(limits())?;
            decoder.has_animation().then(|| decoder.into_frames())
        }
    })
}

fn draw(frames: Frames<'_>, size: Size, method: Method) -> Result<Option<Thumbnail>, PictureError> {
    let (mut read, mut written) = (0, 0);
    let mut drawn: Vec<Frame> = Vec::new();
    for frame in frames {
        let frame = frame?;
        let delay = frame.delay();
        let image = DynamicImage::ImageRgba8(frame.into_buffer());
        read += pixels(&image);
        let small = shrink(&image, size, method);
        written += pixels(&small);
        if read > PIXELS_MAX || written > WRITTEN_MAX {
            return Ok(None);
        }
        drawn.push(Frame::from_parts(small.into_rgba8(), 0, 0, delay));
    }
    let [first, _, ..] = &drawn[..] else { return Ok(None) };
    let (width, height) = first.buffer().dimensions();
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, ENCODER_SPEED);
    encoder.set_repeat(Repeat::Infinite)?;
    encoder.encode_frames(drawn)?;
    drop(encoder);
    Ok(Some(Thumbnail { content_type: Format::Gif.content_type(), bytes, width, height }))
}

fn pixels(image: &DynamicImage) -> u64 {
    u64::from(image.width()) * u64::from(image.height())
}

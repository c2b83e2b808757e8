//! Pictures of strangers: what they are, and thumbnails of them (client-server API, "Content repository").

mod animation;
#[cfg(test)]
mod tests;

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::jpeg::JpegEncoder, imageops::FilterType, metadata::Orientation,
};

pub use self::animation::animated_thumbnail;

/// Most pixels of a picture that is decoded.
pub const PIXELS_MAX: u64 = 50_000_000;
/// Most bytes of its decoded form.
pub const DECODED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Quality of JPEG thumbnails, of 100.
const JPEG_QUALITY: u8 = 80;

/// A format that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `image/png`, also animated.
    Png,
    /// `image/jpeg`.
    Jpeg,
    /// `image/gif`.
    Gif,
    /// `image/webp`, also animated.
    WebP,
}

impl Format {
    /// Its MIME type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }

    /// What the first bytes say.
    fn of(bytes: &[u8]) -> Option<(Self, ImageFormat)> {
        let format = image::guess_format(bytes).ok()?;
        let ours = match format {
            ImageFormat::Png => Self::Png,
            ImageFormat::Jpeg => Self::Jpeg,
            ImageFormat::Gif => Self::Gif,
            ImageFormat::WebP => Self::WebP,
            _ => return None,
        };
        Some((ours, format))
    }
}

/// What a picture's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its format.
    pub format: Format,
    /// Its width in pixels, held upright.
    pub width: u32,
    /// Its height in pixels, held upright.
    pub height: u32,
}

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// How a picture becomes smaller (client-server API, thumbnails).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The whole picture, as large as fits into the size.
    Scale,
    /// The middle of the picture, in the proportions of the size.
    Crop,
}

/// A smaller copy of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// `image/jpeg` or `image/png`, or `image/gif` where it moves.
    pub content_type: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// Why a picture is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// It is no PNG, JPEG, GIF or WebP, or uses a part of these that is not understood.
    #[error("reading a picture: PNG, JPEG, GIF or WebP would be right")]
    Unsupported,
    /// It would take more than 50 million pixels or 256 MiB to decode.
    #[error("reading a picture: at most {PIXELS_MAX} pixels would be right")]
    TooLarge,
    /// It is damaged.
    #[error("reading a picture: it is damaged")]
    Broken,
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            ImageError::Unsupported(_) => Self::Unsupported,
            _ => Self::Broken,
        }
    }
}

/// Reads the header of a picture. Nothing is decoded; the rest of the file may still be damaged.
pub fn probe(bytes: &[u8]) -> Result<Picture, PictureError> {
    let (format, mut decoder) = open(bytes)?;
    let (width, height) = decoder.dimensions();
    let (width, height) =
        if turned(orientation(&mut decoder)) { (height, width) } else { (width, height) };
    Ok(Picture { format, width, height })
}

/// Makes a thumbnail, upright and without metadata, never larger than the picture.
///
/// A JPEG gives a JPEG, everything else a PNG with its transparency; of an animation the first
/// frame, as clients want it that do not ask for [`animated_thumbnail`]. A picture of 50 million pixels takes about a second: the caller does it on a thread for
/// such work.
pub fn thumbnail(bytes: &[u8], size: Size, method: Method) -> Result<Thumbnail, PictureError> {
    let (format, mut decoder) = open(bytes)?;
    let orientation = orientation(&mut decoder);
    let image = DynamicImage::from_decoder(decoder)?;
    // Turning is left to the small picture; until then the size lies on its side with it.
    let size =
        if turned(orientation) { Size { width: size.height, height: size.width } } else { size };
    let mut small = shrink(&image, size, method);
    drop(image);
    small.apply_orientation(orientation);
    let (content_type, bytes) = encode(&small, format)?;
    Ok(Thumbnail { content_type, bytes, width: small.width(), height: small.height() })
}

/// Reads the header and refuses what is too large before memory is taken for it.
fn open(bytes: &[u8]) -> Result<(Format, impl ImageDecoder + '_), PictureError> {
    let (ours, format) = Format::of(bytes).ok_or(PictureError::Unsupported)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(PictureError::Broken);
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_MAX || decoder.total_bytes() > DECODED_BYTES_MAX {
        return Err(PictureError::TooLarge);
    }
    Ok((ours, decoder))
}

/// What a decoder may take of memory.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(2 * DECODED_BYTES_MAX);
    limits
}

/// How the camera was held; a picture whose metadata is damaged counts as upright.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// Whether width and height change places.
fn turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn shrink(image: &DynamicImage, size: Size, method: Method) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    let wanted = Size { width: size.width.max(1), height: size.height.max(1) };
    match method {
        Method::Scale => {
            let (to_width, to_height) = fit(width, height, wanted.width, wanted.height);
            resize(image, to_width, to_height)
        }
        Method::Crop => {
            // The largest part of the picture with the proportions of the size, from the middle.
            let (cut_width, cut_height) = if u64::from(width) * u64::from(wanted.height)
                > u64::from(height) * u64::from(wanted.width)
            {
                (share(height, wanted.width, wanted.height), height)
            } else {
                (width, share(width, wanted.height, wanted.width))
            };
            let (cut_width, cut_height) = (cut_width.min(width), cut_height.min(height));
            let (x, y) = ((width - cut_width) / 2, (height - cut_height) / 2);
            let (to_width, to_height) =
                (wanted.width.min(cut_width), wanted.height.min(cut_height));
            resize(&image.crop_imm(x, y, cut_width, cut_height), to_width, to_height)
        }
    }
}

/// The size of a picture that keeps its proportions, fits into another size and is no larger.
fn fit(width: u32, height: u32, into_width: u32, into_height: u32) -> (u32, u32) {
    if width <= into_width && height <= into_height {
        return (width, height);
    }
    if u64::from(width) * u64::from(into_height) > u64::from(height) * u64::from(into_width) {
        (into_width, share(height, into_width, width))
    } else {
        (share(width, into_height, height), into_height)
    }
}

/// `length * part / whole`, rounded, at least 1.
fn share(length: u32, part: u32, whole: u32) -> u32 {
    let whole = u64::from(whole.max(1));
    let share = (u64::from(length) * u64::from(part) + whole / 2) / whole;
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

/// Makes an image smaller: first cheaply to about twice the size, then with care.
fn resize(image: &DynamicImage, width: u32, height: u32) -> DynamicImage {
    if (width, height) == (image.width(), image.height()) {
        return image.clone();
    }
    // Each side by itself: care costs sixteen bytes a pixel, and a picture may be one long row.
    let near_width = width.saturating_mul(2).min(image.width());
    let near_height = height.saturating_mul(2).min(image.height());
    if (near_width, near_height) == (image.width(), image.height()) {
        return image.resize_exact(width, height, FilterType::CatmullRom);
    }
    let near = image.thumbnail_exact(near_width, near_height);
    near.resize_exact(width, height, FilterType::CatmullRom)
}

fn encode(image: &DynamicImage, source: Format) -> Result<(&'static str, Vec<u8>), PictureError> {
    let mut bytes = Vec::new();
    if source == Format::Jpeg {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        if image.color().has_color() {
            image.to_rgb8().write_with_encoder(encoder)?;
        } else {
            image.to_luma8().write_with_encoder(encoder)?;
        }
        return Ok((Format::Jpeg.content_type(), bytes));
    }
    let flat = if image.color().has_alpha() {
        DynamicImage::ImageRgba8(image.to_rgba8())
    } else {
        DynamicImage::ImageRgb8(image.to_rgb8())
    };
    flat.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
    Ok((Format::Png.content_type(), bytes))
}

//! Reading numbers and texts from bytes that anybody may have sent.

/// A frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It has no bytes at all.
    #[error("the frame is empty")]
    Empty,
    /// Its first byte stands for nothing.
    #[error("frames of kind {0:#04x} do not exist")]
    Kind(u8),
    /// It ends inside a field.
    #[error("the frame is too short for its kind")]
    Short,
    /// It goes on after its last field.
    #[error("the frame is too long for its kind")]
    Long,
    /// A text is no UTF-8.
    #[error("a text of the frame is not UTF-8")]
    Text,
    /// A pose holds what no pose can.
    #[error("a pose is outside its ranges")]
    Pose,
    /// A number stands for nothing.
    #[error("a number of the frame stands for nothing")]
    Value,
}

/// What is left of a frame.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Broken::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Broken> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn i8(&mut self) -> Result<i8, Broken> {
        Ok(i8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Broken> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn i16(&mut self) -> Result<i16, Broken> {
        Ok(i16::from_le_bytes(self.array()?))
    }

    pub(super) fn i24(&mut self) -> Result<i32, Broken> {
        let [a, b, c] = self.array()?;
        // The sign comes from the highest byte: shifted up and back down it fills the fourth.
        Ok(i32::from_le_bytes([0, a, b, c]) >> 8)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Broken> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn text(&mut self) -> Result<String, Broken> {
        let bytes = self.u16()?;
        self.letters(bytes.into())
    }

    pub(super) fn long(&mut self) -> Result<String, Broken> {
        let bytes = usize::try_from(self.u32()?).map_err(|_| Broken::Short)?;
        self.letters(bytes)
    }

    fn letters(&mut self, bytes: usize) -> Result<String, Broken> {
        let (text, rest) = self.0.split_at_checked(bytes).ok_or(Broken::Short)?;
        self.0 = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| Broken::Text)
    }

    pub(super) fn end(self) -> Result<(), Broken> {
        if self.0.is_empty() { Ok(()) } else { Err(Broken::Long) }
    }
}

/// Appends a text with its length, cut to what the length can say.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(u16::MAX.into())];
    let bytes = u16::try_from(text.len()).expect("cut to what a u16 says");
    out.extend(bytes.to_le_bytes());
    out.extend(text.as_bytes());
}

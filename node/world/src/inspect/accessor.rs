//! Buffers, views and accessors: that all they claim lies within the file, and reading them (glTF 2.0, 3.6).

use serde_json::Value;

use super::{Parts, limits::Limits, list, number, report::Issues};

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    I8,
    U8,
    I16,
    U16,
    U32,
    F32,
}

impl Component {
    fn of(code: u64) -> Self {
        match code {
            5120 => Self::I8,
            5121 => Self::U8,
            5122 => Self::I16,
            5123 => Self::U16,
            5125 => Self::U32,
            _ => Self::F32,
        }
    }

    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
        }
    }

    /// The highest whole number that it holds.
    pub(super) const fn most(self) -> u32 {
        match self {
            Self::I8 => 0x7F,
            Self::U8 => 0xFF,
            Self::I16 => 0x7FFF,
            Self::U16 => 0xFFFF,
            Self::U32 | Self::F32 => u32::MAX,
        }
    }

    /// The number at an offset, as it is stored; bytes beyond the end count as zero.
    fn read(self, bytes: &[u8], at: usize) -> f32 {
        match self {
            Self::I8 => f32::from(i8::from_le_bytes(take(bytes, at))),
            Self::U8 => f32::from(u8::from_le_bytes(take(bytes, at))),
            Self::I16 => f32::from(i16::from_le_bytes(take(bytes, at))),
            Self::U16 => f32::from(u16::from_le_bytes(take(bytes, at))),
            #[expect(
                clippy::cast_precision_loss,
                reason = "only read as a number where it is small"
            )]
            Self::U32 => u32::from_le_bytes(take(bytes, at)) as f32,
            Self::F32 => f32::from_le_bytes(take(bytes, at)),
        }
    }

    /// The whole number at an offset.
    fn whole(self, bytes: &[u8], at: usize) -> u32 {
        match self {
            Self::U8 | Self::I8 => u32::from(u8::from_le_bytes(take(bytes, at))),
            Self::U16 | Self::I16 => u32::from(u16::from_le_bytes(take(bytes, at))),
            Self::U32 | Self::F32 => u32::from_le_bytes(take(bytes, at)),
        }
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

/// A run of elements in the BIN chunk that is known to lie within it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Where the first element begins.
    pub(super) offset: usize,
    /// From one element to the next.
    pub(super) stride: usize,
}

/// Elements that replace some of an accessor's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sparse {
    pub(super) count: usize,
    indices: Component,
    indices_at: usize,
    pub(super) values_at: usize,
}

/// An accessor whose elements lie within the file.
#[derive(Clone, Debug)]
pub(super) struct Accessor {
    pub(super) component: Component,
    /// Rows and columns: a vector has one column.
    rows: usize,
    columns: usize,
    pub(super) count: usize,
    pub(super) normalised: bool,
    /// Where its elements lie; without, all are zero.
    pub(super) base: Option<Span>,
    pub(super) sparse: Option<Sparse>,
    /// Whether its view says how far its elements are apart.
    pub(super) strided: bool,
}

impl Accessor {
    /// Numbers in an element.
    pub(super) const fn width(&self) -> usize {
        self.rows * self.columns
    }

    /// Bytes of a column: those of matrices begin at multiples of four.
    const fn column_bytes(&self) -> usize {
        let bytes = self.rows * self.component.bytes();
        if self.columns > 1 { bytes.next_multiple_of(4) } else { bytes }
    }

    pub(super) const fn element_bytes(&self) -> usize {
        self.columns * self.column_bytes()
    }

    /// Whether it is of a form, such as (F32, 3).
    pub(super) fn is(&self, component: Component, width: usize) -> bool {
        self.component == component && self.width() == width
    }

    pub(super) fn is_matrix(&self) -> bool {
        self.columns > 1
    }

    /// The same accessor, ending after so many elements.
    pub(super) fn first(&self, count: usize) -> Self {
        Self { count: count.min(self.count), ..self.clone() }
    }

    /// Visits the elements that are written down: those of the view, then those that replace some.
    pub(super) fn written(&self, bin: &[u8], mut visit: impl FnMut(usize, &[f32])) {
        let mut numbers = [0.0; 16];
        if let Some(base) = self.base {
            for element in 0..self.count {
                self.element(bin, base.offset + element * base.stride, &mut numbers);
                visit(element, &numbers[..self.width()]);
            }
        }
        for number in 0..self.sparse.map_or(0, |sparse| sparse.count) {
            let (element, at) = self.replaced(bin, number);
            self.element(bin, at, &mut numbers);
            visit(element, &numbers[..self.width()]);
        }
    }

    /// Visits the whole numbers of a vector that is not sparse.
    pub(super) fn wholes(&self, bin: &[u8], mut visit: impl FnMut(usize, u32)) {
        let Some(base) = self.base else { return };
        for element in 0..self.count {
            for row in 0..self.rows {
                let at = base.offset + element * base.stride + row * self.component.bytes();
                visit(element, self.component.whole(bin, at));
            }
        }
    }

    /// All its numbers, decoded: those of normalised integers lie between -1 and 1.
    pub(super) fn floats(&self, bin: &[u8]) -> Vec<f32> {
        let width = self.width();
        let mut all = vec![0.0; self.count * width];
        self.written(bin, |element, numbers| {
            if let Some(place) = all.get_mut(element * width..(element + 1) * width) {
                place.copy_from_slice(numbers);
            }
        });
        all
    }

    /// The element that a sparse value replaces, and where the value lies.
    pub(super) fn replaced(&self, bin: &[u8], number: usize) -> (usize, usize) {
        let Some(sparse) = self.sparse else { return (0, 0) };
        let at = sparse.indices_at + number * sparse.indices.bytes();
        let element = sparse.indices.whole(bin, at) as usize;
        (element, sparse.values_at + number * self.element_bytes())
    }

    fn element(&self, bin: &[u8], at: usize, numbers: &mut [f32; 16]) {
        let (bytes, column_bytes) = (self.component.bytes(), self.column_bytes());
        for column in 0..self.columns {
            for row in 0..self.rows {
                let stored = self.component.read(bin, at + column * column_bytes + row * bytes);
                numbers[column * self.rows + row] = self.decoded(stored);
            }
        }
    }

    fn decoded(&self, stored: f32) -> f32 {
        if !self.normalised || matches!(self.component, Component::F32 | Component::U32) {
            return stored;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most sixteen bits")]
        let most = self.component.most() as f32;
        (stored / most).max(-1.0)
    }
}

/// A view that lies within the BIN chunk.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) offset: usize,
    pub(super) length: usize,
    stride: Option<usize>,
}

/// Checks the one buffer and its views; afterwards each view lies within the BIN chunk.
pub(super) fn views(root: &Value, bin: &[u8], issues: &mut Issues) -> Vec<View> {
    let buffers = list(root, "buffers");
    for (index, buffer) in buffers.iter().enumerate() {
        let pointer = format!("/buffers/{index}");
        if buffer.get("uri").is_some() {
            issues.error(
                "EXTERNAL_URI",
                format!("{pointer}/uri"),
                "the buffer lies outside the file; the BIN chunk would be right",
            );
        } else if index > 0 {
            issues.error(
                "BUFFER_OUTSIDE_FILE",
                pointer.clone(),
                "only the first buffer can be the BIN chunk",
            );
        }
    }
    let length = buffers.first().map_or(0, |buffer| number(buffer, "byteLength"));
    if length > bin.len() {
        issues.error(
            "BUFFER_OUTSIDE_FILE",
            "/buffers/0/byteLength",
            format!("the buffer claims {length} bytes of {} in the BIN chunk", bin.len()),
        );
    } else if bin.len() > length + 3 {
        issues.warn("BIN_LONGER", "/bin", "the BIN chunk is longer than the buffer in it");
    }
    let mut views = Vec::new();
    for (index, view) in list(root, "bufferViews").iter().enumerate() {
        let (offset, bytes) = (number(view, "byteOffset"), number(view, "byteLength"));
        if number(view, "buffer") > 0 || offset + bytes > length.min(bin.len()) {
            issues.error(
                "VIEW_OUT_OF_RANGE",
                format!("/bufferViews/{index}"),
                format!("bytes {offset} to {} lie outside the buffer", offset + bytes),
            );
        }
        let stride = view.get("byteStride").map(|_| number(view, "byteStride"));
        if stride.is_some_and(|stride| !stride.is_multiple_of(4)) {
            issues.error(
                "MISALIGNED",
                format!("/bufferViews/{index}/byteStride"),
                "a multiple of four would be right",
            );
        }
        views.push(View { offset, length: bytes, stride });
    }
    views
}

/// Checks all accessors; afterwards each lies within its view, and none is larger than it may be.
pub(super) fn accessors(
    root: &Value,
    views: &[View],
    bin: &[u8],
    limits: &Limits,
    issues: &mut Issues,
) -> Vec<Accessor> {
    let most = limits.vertices.max(limits.triangles * 3);
    let mut bytes_read = 0u64;
    let mut accessors = Vec::new();
    for (index, json) in list(root, "accessors").iter().enumerate() {
        let pointer = format!("/accessors/{index}");
        let mut accessor = shaped(json);
        if accessor.count as u64 > most {
            issues.error(
                "TOO_MANY_ELEMENTS",
                format!("{pointer}/count"),
                format!("{} elements; at most {most} would be right", accessor.count),
            );
        }
        if let Some(view) =
            json.get("bufferView").and_then(|_| views.get(number(json, "bufferView")))
        {
            accessor.strided = view.stride.is_some();
            accessor.base = span(&accessor, json, *view, &pointer, issues);
            bytes_read += (accessor.count * accessor.element_bytes()) as u64;
        }
        if let Some(sparse) = json.get("sparse") {
            accessor.sparse = replacement(&accessor, sparse, views, bin, &pointer, issues);
            let count = accessor.sparse.map_or(0, |sparse| sparse.count);
            bytes_read += (count * accessor.element_bytes()) as u64;
        }
        if accessor.normalised && matches!(accessor.component, Component::F32 | Component::U32) {
            issues.warn(
                "NORMALISED_FLOAT",
                format!("{pointer}/normalized"),
                "only small whole numbers can be normalised",
            );
        }
        for bound in ["min", "max"] {
            let numbers = list(json, bound).len();
            if numbers != 0 && numbers != accessor.width() {
                issues.error(
                    "BOUNDS_WRONG",
                    format!("{pointer}/{bound}"),
                    format!("{} numbers would be right", accessor.width()),
                );
            }
        }
        accessors.push(accessor);
        // Thousands of accessors over the same bytes would make everyone read them so many times.
        if bytes_read > 8 * bin.len() as u64 + 1_000_000 {
            issues.error("ACCESSORS_OVERLAP", pointer, "they read the same bytes many times over");
            break;
        }
    }
    accessors
}

fn shaped(json: &Value) -> Accessor {
    let (rows, columns) = match json["type"].as_str().unwrap_or_default() {
        "VEC2" => (2, 1),
        "VEC3" => (3, 1),
        "VEC4" => (4, 1),
        "MAT2" => (2, 2),
        "MAT3" => (3, 3),
        "MAT4" => (4, 4),
        _ => (1, 1),
    };
    Accessor {
        component: Component::of(json["componentType"].as_u64().unwrap_or(5126)),
        rows,
        columns,
        count: number(json, "count"),
        normalised: json["normalized"].as_bool().unwrap_or(false),
        base: None,
        sparse: None,
        strided: false,
    }
}

fn span(
    accessor: &Accessor,
    json: &Value,
    view: View,
    pointer: &str,
    issues: &mut Issues,
) -> Option<Span> {
    let (start, bytes) = (number(json, "byteOffset"), accessor.element_bytes());
    let stride = view.stride.unwrap_or(bytes);
    let component = accessor.component.bytes();
    let aligned =
        [start, view.offset + start, stride].iter().all(|at| at.is_multiple_of(component));
    let columns_aligned = !accessor.is_matrix() || (view.offset + start).is_multiple_of(4);
    if !aligned || !columns_aligned {
        issues.error(
            "MISALIGNED",
            format!("{pointer}/byteOffset"),
            format!("a multiple of {component} would be right"),
        );
        return None;
    }
    if stride < bytes {
        issues.error(
            "STRIDE_TOO_SMALL",
            pointer,
            format!("elements of {bytes} bytes stand {stride} bytes apart"),
        );
        return None;
    }
    // Both factors are below 2^32 and the sum is of 64 bits: nothing overflows.
    let end =
        start as u64 + stride as u64 * (accessor.count as u64).saturating_sub(1) + bytes as u64;
    if end > view.length as u64 {
        issues.error(
            "ACCESSOR_OUT_OF_RANGE",
            pointer,
            format!("its elements need {end} bytes of {} in the view", view.length),
        );
        return None;
    }
    Some(Span { offset: view.offset + start, stride })
}

fn replacement(
    accessor: &Accessor,
    json: &Value,
    views: &[View],
    bin: &[u8],
    pointer: &str,
    issues: &mut Issues,
) -> Option<Sparse> {
    let count = number(json, "count");
    let pointer = format!("{pointer}/sparse");
    if count > accessor.count {
        issues.error(
            "SPARSE_OUT_OF_RANGE",
            format!("{pointer}/count"),
            format!("at most {} would be right", accessor.count),
        );
        return None;
    }
    let indices = Component::of(json["indices"]["componentType"].as_u64().unwrap_or(5125));
    let mut place = |part: &str, bytes: usize, unit: usize| {
        let json = &json[part];
        let view = views.get(number(json, "bufferView")).copied()?;
        let start = number(json, "byteOffset");
        if start as u64 + count as u64 * bytes as u64 > view.length as u64 {
            issues.error(
                "SPARSE_OUT_OF_RANGE",
                format!("{pointer}/{part}"),
                "its elements lie outside the view",
            );
            return None;
        }
        if !(view.offset + start).is_multiple_of(unit) {
            issues.error(
                "MISALIGNED",
                format!("{pointer}/{part}"),
                format!("a multiple of {unit} would be right"),
            );
            return None;
        }
        Some(view.offset + start)
    };
    let indices_at = place("indices", indices.bytes(), indices.bytes())?;
    let values_at = place("values", accessor.element_bytes(), accessor.component.bytes())?;
    let sparse = Sparse { count, indices, indices_at, values_at };
    let mut last = None;
    for number in 0..count {
        let index = indices.whole(bin, indices_at + number * indices.bytes()) as usize;
        if index >= accessor.count || last.is_some_and(|last| index <= last) {
            issues.error(
                "SPARSE_OUT_OF_RANGE",
                format!("{pointer}/indices"),
                "rising indices below the count would be right",
            );
            return None;
        }
        last = Some(index);
    }
    Some(sparse)
}

/// Checks that no number of any accessor is infinite or none, and that bounds tell the truth.
pub(super) fn numbers(parts: &Parts<'_>, issues: &mut Issues) {
    for (index, accessor) in parts.accessors.iter().enumerate() {
        let json = &parts.root["accessors"][index];
        if accessor.component == Component::F32 {
            let mut wrong = None;
            accessor.written(parts.bin, |element, numbers| {
                if wrong.is_none() && !numbers.iter().all(|number| number.is_finite()) {
                    wrong = Some(element);
                }
            });
            if let Some(element) = wrong {
                issues.error(
                    "NOT_FINITE",
                    format!("/accessors/{index}"),
                    format!("element {element} is infinite or not a number"),
                );
                continue;
            }
        }
        if accessor.sparse.is_none() && (json.get("min").is_some() || json.get("max").is_some()) {
            bounds(accessor, json, parts.bin, index, issues);
        }
    }
}

fn bounds(accessor: &Accessor, json: &Value, bin: &[u8], index: usize, issues: &mut Issues) {
    let width = accessor.width();
    let stored = Accessor { normalised: false, ..accessor.clone() };
    let (mut least, mut most) = ([f32::INFINITY; 16], [f32::NEG_INFINITY; 16]);
    stored.written(bin, |_, numbers| {
        for ((number, least), most) in numbers.iter().zip(&mut least).zip(&mut most) {
            *least = number.min(*least);
            *most = number.max(*most);
        }
    });
    if accessor.base.is_none() {
        (least, most) = ([0.0; 16], [0.0; 16]);
    }
    let lies = |name: &str, truth: &[f32; 16]| {
        let claimed = list(json, name).iter().zip(&truth[..width]);
        claimed.into_iter().any(|(claim, truth)| {
            let claim = claim.as_f64().unwrap_or_default();
            (claim - f64::from(*truth)).abs() > 1e-4 * f64::from(truth.abs()).max(1.0)
        })
    };
    for (name, truth) in [("min", &least), ("max", &most)] {
        if lies(name, truth) {
            issues.warn(
                "BOUNDS_WRONG",
                format!("/accessors/{index}/{name}"),
                "the bound is not that of the elements",
            );
        }
    }
}

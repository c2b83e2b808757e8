//! Writing binary glTF: what the generators make their worlds, bodies and motions with.
//!
//! A [`Builder`] gathers the arrays of a glTF 2.0 asset in their order and pads, counts and bounds
//! them as the format wants it; [`Builder::finish`] gives the bytes of a GLB. It writes what it is
//! given and checks nothing: what reads foreign files stands elsewhere.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// `componentType` of an accessor (glTF 2.0, 3.6.2.2).
const U8: u32 = 5121;
const U16: u32 = 5123;
const U32: u32 = 5125;
const F32: u32 = 5126;

/// What a buffer view is for (`bufferView.target`).
const ARRAY_BUFFER: u32 = 34962;
const ELEMENT_ARRAY_BUFFER: u32 = 34963;

/// The place of something in the array of its kind.
pub type Index = usize;

/// A glTF asset that is being made.
#[derive(Default)]
pub struct Builder {
    bin: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
    images: Vec<Value>,
    arrays: BTreeMap<String, Vec<Value>>,
    extensions: Map<String, Value>,
    used: Vec<String>,
    extras: Option<Value>,
}

impl Builder {
    /// An empty asset.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a thing to the top-level array of that name (`nodes`, `meshes`, `materials`, …).
    pub fn add(&mut self, array: &str, thing: Value) -> Index {
        let list = self.arrays.entry(array.to_owned()).or_default();
        list.push(thing);
        list.len() - 1
    }

    /// A thing added before, to be completed.
    pub fn get_mut(&mut self, array: &str, index: Index) -> Option<&mut Value> {
        self.arrays.get_mut(array)?.get_mut(index)
    }

    /// Says that the asset uses an extension.
    pub fn uses(&mut self, extension: &str) {
        if !self.used.iter().any(|used| used == extension) {
            self.used.push(extension.to_owned());
        }
    }

    /// The extension object at the root of the asset, which then uses the extension too.
    pub fn extend(&mut self, extension: &str, value: Value) {
        self.uses(extension);
        self.extensions.insert(extension.to_owned(), value);
    }

    /// What the asset says of itself beyond the format (`asset.extras`).
    pub fn describe(&mut self, extras: Value) {
        self.extras = Some(extras);
    }

    /// Vertex attributes of `N` numbers each, with their bounds where `bounded`, as positions need.
    pub fn attribute<const N: usize>(&mut self, values: &[[f32; N]], bounded: bool) -> Index {
        let view = self.view(floats(values), Some(ARRAY_BUFFER));
        self.accessor(view, F32, values.len(), shape(N), bounded.then(|| bounds(values)))
    }

    /// Vertex colours with an alpha each, from linear numbers between 0 and 1, a byte a channel.
    pub fn colours(&mut self, values: &[[f32; 4]]) -> Index {
        let bytes = values.iter().flatten().map(|value| byte(*value)).collect();
        let view = self.view(bytes, Some(ARRAY_BUFFER));
        let index = self.accessor(view, U8, values.len(), "VEC4", None);
        self.accessors[index]["normalized"] = true.into();
        index
    }

    /// Four joints for each vertex.
    pub fn joints(&mut self, values: &[[u8; 4]]) -> Index {
        let view = self.view(values.concat(), Some(ARRAY_BUFFER));
        self.accessor(view, U8, values.len(), "VEC4", None)
    }

    /// The shares of four joints for each vertex, in 255ths that sum to one.
    pub fn weights(&mut self, values: &[[u8; 4]]) -> Index {
        let index = self.joints(values);
        self.accessors[index]["normalized"] = true.into();
        index
    }

    /// Places in a texture, between 0 and 1, in steps of 1/65,535.
    pub fn places(&mut self, values: &[[f32; 2]]) -> Index {
        let shorts = values.iter().flatten().flat_map(|value| short(*value).to_le_bytes());
        let view = self.view(shorts.collect(), Some(ARRAY_BUFFER));
        let index = self.accessor(view, U16, values.len(), "VEC2", None);
        self.accessors[index]["normalized"] = true.into();
        index
    }

    /// Vectors of which most are zero, as movements of a morph target are, with their bounds; only
    /// the others are stored (3.6.2.3). At least one is to be other than zero.
    ///
    /// # Panics
    /// When there are more than 65,536 of them.
    pub fn displacements(&mut self, values: &[[f32; 3]]) -> Index {
        let moves = |value: &[f32; 3]| value.iter().any(|number| number.abs() > 1e-6);
        let mut numbers: Vec<[f32; 3]> = Vec::new();
        let mut places = Vec::new();
        for (at, value) in values.iter().enumerate().filter(|(_, value)| moves(value)) {
            places.extend(u16::try_from(at).expect("faces have few vertices").to_le_bytes());
            numbers.push(*value);
        }
        let count = numbers.len();
        let places = self.view(places, None);
        let stored = self.view(floats(&numbers), None);
        // What is not stored is zero, and counts for the bounds too.
        if count < values.len() {
            numbers.push([0.0; 3]);
        }
        let (least, most) = bounds(&numbers);
        self.accessors.push(json!({
            "componentType": F32, "count": values.len(), "type": "VEC3",
            "min": least, "max": most,
            "sparse": {
                "count": count,
                "indices": { "bufferView": places, "componentType": U16 },
                "values": { "bufferView": stored },
            },
        }));
        self.accessors.len() - 1
    }

    /// The corners of triangles, in the smallest form that holds them.
    pub fn indices(&mut self, values: &[u32]) -> Index {
        let most = values.iter().copied().max().unwrap_or(0);
        // The highest number of a form restarts a strip, and is not a corner (3.7.2.1).
        if most < u32::from(u16::MAX) {
            // The lower half of a number below 65,536 is that number.
            let short = values.iter().flat_map(|value| {
                let [low, high, ..] = value.to_le_bytes();
                [low, high]
            });
            let view = self.view(short.collect(), Some(ELEMENT_ARRAY_BUFFER));
            return self.accessor(view, U16, values.len(), "SCALAR", None);
        }
        let long = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = self.view(long, Some(ELEMENT_ARRAY_BUFFER));
        self.accessor(view, U32, values.len(), "SCALAR", None)
    }

    /// Numbers that no vertex uses: times and values of animations (bounded for times), matrices.
    pub fn numbers<const N: usize>(&mut self, values: &[[f32; N]], bounded: bool) -> Index {
        let view = self.view(floats(values), None);
        self.accessor(view, F32, values.len(), shape(N), bounded.then(|| bounds(values)))
    }

    /// A picture inside the file, of a type such as `image/png`.
    pub fn image(&mut self, bytes: Vec<u8>, mime: &str, name: &str) -> Index {
        let view = self.view(bytes, None);
        self.images.push(json!({ "bufferView": view, "mimeType": mime, "name": name }));
        self.images.len() - 1
    }

    /// The bytes of the GLB; the one scene holds the nodes named here.
    ///
    /// # Panics
    /// When the asset is 4 GiB or larger, which no generator makes.
    #[must_use]
    pub fn finish(self, roots: &[Index], scene_name: &str) -> Vec<u8> {
        let mut root = Map::new();
        let generator = concat!("Wayside ", env!("CARGO_PKG_VERSION"));
        let mut asset = json!({ "version": "2.0", "generator": generator });
        if let Some(extras) = self.extras {
            asset["extras"] = extras;
        }
        root.insert("asset".into(), asset);
        root.insert("scene".into(), 0.into());
        root.insert("scenes".into(), json!([{ "name": scene_name, "nodes": roots }]));
        root.extend(self.arrays.into_iter().map(|(name, list)| (name, list.into())));
        root.insert("accessors".into(), self.accessors.into());
        root.insert("bufferViews".into(), self.views.into());
        root.insert("buffers".into(), json!([{ "byteLength": self.bin.len() }]));
        root.insert("images".into(), self.images.into());
        root.insert("extensions".into(), self.extensions.into());
        root.insert("extensionsUsed".into(), self.used.into());
        // An empty array or object is not allowed where a property may be left out (3.4).
        root.retain(|_, value| match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => true,
        });
        if self.bin.is_empty() {
            root.remove("buffers");
        }
        container(&Value::Object(root).to_string(), self.bin)
    }

    fn view(&mut self, bytes: Vec<u8>, target: Option<u32>) -> Index {
        // Every view begins at a multiple of the largest component.
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        let mut view = json!({
            "buffer": 0, "byteOffset": self.bin.len(), "byteLength": bytes.len(),
        });
        if let Some(target) = target {
            view["target"] = target.into();
        }
        self.bin.extend(bytes);
        self.views.push(view);
        self.views.len() - 1
    }

    fn accessor(
        &mut self,
        view: Index,
        component: u32,
        count: usize,
        shape: &str,
        bounds: Option<(Vec<f32>, Vec<f32>)>,
    ) -> Index {
        let mut accessor = json!({
            "bufferView": view, "componentType": component, "count": count, "type": shape,
        });
        if let Some((least, most)) = bounds {
            accessor["min"] = least.into();
            accessor["max"] = most.into();
        }
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }
}

/// A GLB of its two chunks (glTF 2.0, chapter 4).
///
/// # Panics
/// When they are 4 GiB or more together.
#[must_use]
pub fn container(json: &str, mut bin: Vec<u8>) -> Vec<u8> {
    let mut json = json.as_bytes().to_vec();
    json.resize(json.len().next_multiple_of(4), b' ');
    bin.resize(bin.len().next_multiple_of(4), 0);
    let bin_bytes = if bin.is_empty() { 0 } else { 8 + bin.len() };
    let length = |bytes: usize| u32::try_from(bytes).expect("a GLB is below 4 GiB").to_le_bytes();
    let mut out = Vec::with_capacity(20 + json.len() + bin_bytes);
    out.extend(b"glTF");
    out.extend(2u32.to_le_bytes());
    out.extend(length(20 + json.len() + bin_bytes));
    out.extend(length(json.len()));
    out.extend(b"JSON");
    out.extend(json);
    if !bin.is_empty() {
        out.extend(length(bin.len()));
        out.extend(b"BIN\0");
        out.extend(bin);
    }
    out
}

fn shape(numbers: usize) -> &'static str {
    match numbers {
        1 => "SCALAR",
        2 => "VEC2",
        3 => "VEC3",
        4 => "VEC4",
        16 => "MAT4",
        other => panic!("glTF has no type of {other} numbers"),
    }
}

fn floats<const N: usize>(values: &[[f32; N]]) -> Vec<u8> {
    values.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

fn bounds<const N: usize>(values: &[[f32; N]]) -> (Vec<f32>, Vec<f32>) {
    let fold = |start: f32, pick: fn(f32, f32) -> f32| {
        (0..N).map(|at| values.iter().fold(start, |seen, value| pick(seen, value[at]))).collect()
    };
    (fold(f32::INFINITY, f32::min), fold(f32::NEG_INFINITY, f32::max))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte before"
)]
fn byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to its range before"
)]
fn short(value: f32) -> u16 {
    (value.clamp(0.0, 1.0) * 65535.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triangle_is_padded_counted_and_bounded() {
        let mut builder = Builder::new();
        let at = builder.attribute(&[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], true);
        let colour = builder.colours(&[[1.0, 0.5, 0.0, 1.0]; 3]);
        let corners = builder.indices(&[0, 1, 2]);
        let mesh = builder.add(
            "meshes",
            json!({ "primitives": [{
                "attributes": { "POSITION": at, "COLOR_0": colour }, "indices": corners,
            }] }),
        );
        let node = builder.add("nodes", json!({ "mesh": mesh }));
        let glb = builder.finish(&[node], "a triangle");
        assert_eq!(glb.len() % 4, 0);
        let total = u32::from_le_bytes(glb[8..12].try_into().unwrap());
        assert_eq!(total as usize, glb.len());
        let json_bytes = u32::from_le_bytes(glb[12..16].try_into().unwrap()) as usize;
        let json: Value = serde_json::from_slice(&glb[20..20 + json_bytes]).unwrap();
        assert_eq!(json["accessors"][0]["max"], json!([1.0, 2.0, 0.0]));
        assert_eq!(json["bufferViews"][1]["byteOffset"], 36);
        assert!(json.get("images").is_none() && json.get("extensions").is_none());
    }

    #[test]
    fn many_corners_take_the_longer_form() {
        let mut builder = Builder::new();
        builder.indices(&[0, 65_534]);
        builder.indices(&[0, 65_535]);
        assert_eq!(builder.accessors[0]["componentType"], U16);
        assert_eq!(builder.accessors[1]["componentType"], U32);
    }
}

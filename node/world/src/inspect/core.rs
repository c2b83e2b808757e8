//! The tables of glTF 2.0 itself: what its JSON may hold, and which extensions are understood.

use serde_json::{Map, Value};

use super::{
    report::Issues,
    schema::{COUNT, Checker, FLOAT, Kind, MANY, POSITIVE, SHARE, Shape, may, need},
    vrm::tables::{CONSTRAINT, MTOON},
};

/// Extensions that somebody may require: what the clients and this program read.
const READABLE: &[&str] = &[
    "EXT_texture_webp",
    "KHR_animation_pointer",
    "KHR_lights_punctual",
    "KHR_mesh_quantization",
    "KHR_node_visibility",
    "KHR_texture_transform",
    "VRM",
];
/// The beginnings of their names.
const READABLE_FAMILIES: &[&str] = &["KHR_materials_", "OMI_", "VRMC_"];
/// Extensions that stop a client even where they are only used: it would decode or multiply.
const REFUSED: &[&str] = &["EXT_mesh_gpu_instancing", "KHR_draco_mesh_compression"];

const fn plain(fields: &'static [super::schema::Field]) -> Shape {
    Shape { fields, extensions: &[] }
}

static TRANSFORM: Shape = plain(&[
    may("offset", Kind::List(&FLOAT, 2, 2)),
    may("rotation", FLOAT),
    may("scale", Kind::List(&FLOAT, 2, 2)),
    may("texCoord", COUNT),
]);
/// A reference to a texture, with whatever numbers the several kinds of it carry.
pub(super) static TEXTURE_INFO: Shape = Shape {
    fields: &[
        need("index", Kind::Index("textures")),
        may("texCoord", COUNT),
        may("scale", FLOAT),
        may("strength", SHARE),
    ],
    extensions: &[("KHR_texture_transform", &TRANSFORM)],
};
static PBR: Shape = plain(&[
    may("baseColorFactor", Kind::List(&SHARE, 4, 4)),
    may("baseColorTexture", Kind::Object(&TEXTURE_INFO)),
    may("metallicFactor", SHARE),
    may("roughnessFactor", SHARE),
    may("metallicRoughnessTexture", Kind::Object(&TEXTURE_INFO)),
]);
/// What the extensions of materials have in common: textures by their names, and numbers.
static MATERIAL_EXTENSION: Shape = plain(&[
    may("anisotropyTexture", Kind::Object(&TEXTURE_INFO)),
    may("clearcoatTexture", Kind::Object(&TEXTURE_INFO)),
    may("clearcoatRoughnessTexture", Kind::Object(&TEXTURE_INFO)),
    may("clearcoatNormalTexture", Kind::Object(&TEXTURE_INFO)),
    may("diffuseTexture", Kind::Object(&TEXTURE_INFO)),
    may("diffuseTransmissionTexture", Kind::Object(&TEXTURE_INFO)),
    may("diffuseTransmissionColorTexture", Kind::Object(&TEXTURE_INFO)),
    may("iridescenceTexture", Kind::Object(&TEXTURE_INFO)),
    may("iridescenceThicknessTexture", Kind::Object(&TEXTURE_INFO)),
    may("sheenColorTexture", Kind::Object(&TEXTURE_INFO)),
    may("sheenRoughnessTexture", Kind::Object(&TEXTURE_INFO)),
    may("specularTexture", Kind::Object(&TEXTURE_INFO)),
    may("specularColorTexture", Kind::Object(&TEXTURE_INFO)),
    may("specularGlossinessTexture", Kind::Object(&TEXTURE_INFO)),
    may("thicknessTexture", Kind::Object(&TEXTURE_INFO)),
    may("transmissionTexture", Kind::Object(&TEXTURE_INFO)),
    may("emissiveStrength", POSITIVE),
    may("ior", POSITIVE),
    may("dispersion", POSITIVE),
]);
static MATERIAL: Shape = Shape {
    fields: &[
        may("name", Kind::Text),
        may("pbrMetallicRoughness", Kind::Object(&PBR)),
        may("normalTexture", Kind::Object(&TEXTURE_INFO)),
        may("occlusionTexture", Kind::Object(&TEXTURE_INFO)),
        may("emissiveTexture", Kind::Object(&TEXTURE_INFO)),
        may("emissiveFactor", Kind::List(&SHARE, 3, 3)),
        may("alphaMode", Kind::Word(&["OPAQUE", "MASK", "BLEND"])),
        may("alphaCutoff", POSITIVE),
        may("doubleSided", Kind::Flag),
    ],
    extensions: &[
        ("KHR_materials_anisotropy", &MATERIAL_EXTENSION),
        ("KHR_materials_clearcoat", &MATERIAL_EXTENSION),
        ("KHR_materials_diffuse_transmission", &MATERIAL_EXTENSION),
        ("KHR_materials_dispersion", &MATERIAL_EXTENSION),
        ("KHR_materials_emissive_strength", &MATERIAL_EXTENSION),
        ("KHR_materials_ior", &MATERIAL_EXTENSION),
        ("KHR_materials_iridescence", &MATERIAL_EXTENSION),
        ("KHR_materials_pbrSpecularGlossiness", &MATERIAL_EXTENSION),
        ("KHR_materials_sheen", &MATERIAL_EXTENSION),
        ("KHR_materials_specular", &MATERIAL_EXTENSION),
        ("KHR_materials_transmission", &MATERIAL_EXTENSION),
        ("KHR_materials_unlit", &EMPTY),
        ("KHR_materials_volume", &MATERIAL_EXTENSION),
        ("VRMC_materials_mtoon", &MTOON),
    ],
};
static EMPTY: Shape = plain(&[]);
static ATTRIBUTES: Kind = Kind::Map(&Kind::Index("accessors"));
static PRIMITIVE: Shape = plain(&[
    need("attributes", Kind::Map(&Kind::Index("accessors"))),
    may("indices", Kind::Index("accessors")),
    may("material", Kind::Index("materials")),
    may("mode", Kind::Code(&[0, 1, 2, 3, 4, 5, 6])),
    may("targets", Kind::List(&ATTRIBUTES, 1, MANY)),
]);
static MESH: Shape = plain(&[
    may("name", Kind::Text),
    need("primitives", Kind::List(&Kind::Object(&PRIMITIVE), 1, MANY)),
    may("weights", Kind::List(&FLOAT, 1, MANY)),
]);
static NODE_LIGHT: Shape = plain(&[need("light", Kind::IndexIn("KHR_lights_punctual", "lights"))]);
static NODE: Shape = Shape {
    fields: &[
        may("name", Kind::Text),
        may("camera", Kind::Index("cameras")),
        may("children", Kind::List(&Kind::Index("nodes"), 1, MANY)),
        may("skin", Kind::Index("skins")),
        may("mesh", Kind::Index("meshes")),
        may("matrix", Kind::List(&FLOAT, 16, 16)),
        may("translation", Kind::List(&FLOAT, 3, 3)),
        may("rotation", Kind::List(&Kind::Number(-1.001, 1.001), 4, 4)),
        may("scale", Kind::List(&FLOAT, 3, 3)),
        may("weights", Kind::List(&FLOAT, 1, MANY)),
    ],
    extensions: &[("KHR_lights_punctual", &NODE_LIGHT), ("VRMC_node_constraint", &CONSTRAINT)],
};
static SKIN: Shape = plain(&[
    may("name", Kind::Text),
    need("joints", Kind::List(&Kind::Index("nodes"), 1, MANY)),
    may("inverseBindMatrices", Kind::Index("accessors")),
    may("skeleton", Kind::Index("nodes")),
]);
static SCENE: Shape =
    plain(&[may("name", Kind::Text), may("nodes", Kind::List(&Kind::Index("nodes"), 1, MANY))]);
static SPARSE_INDICES: Shape = plain(&[
    need("bufferView", Kind::Index("bufferViews")),
    may("byteOffset", COUNT),
    need("componentType", Kind::Code(&[5121, 5123, 5125])),
]);
static SPARSE_VALUES: Shape =
    plain(&[need("bufferView", Kind::Index("bufferViews")), may("byteOffset", COUNT)]);
static SPARSE: Shape = plain(&[
    need("count", Kind::Whole(1, u32::MAX as u64)),
    need("indices", Kind::Object(&SPARSE_INDICES)),
    need("values", Kind::Object(&SPARSE_VALUES)),
]);
static ACCESSOR: Shape = plain(&[
    may("name", Kind::Text),
    may("bufferView", Kind::Index("bufferViews")),
    may("byteOffset", COUNT),
    need("componentType", Kind::Code(&[5120, 5121, 5122, 5123, 5125, 5126])),
    need("count", Kind::Whole(1, u32::MAX as u64)),
    need("type", Kind::Word(&["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"])),
    may("normalized", Kind::Flag),
    may("min", Kind::List(&FLOAT, 1, 16)),
    may("max", Kind::List(&FLOAT, 1, 16)),
    may("sparse", Kind::Object(&SPARSE)),
]);
static BUFFER: Shape = plain(&[
    may("name", Kind::Text),
    need("byteLength", Kind::Whole(1, u32::MAX as u64)),
    may("uri", Kind::Text),
]);
static VIEW: Shape = plain(&[
    may("name", Kind::Text),
    need("buffer", Kind::Index("buffers")),
    may("byteOffset", COUNT),
    need("byteLength", Kind::Whole(1, u32::MAX as u64)),
    may("byteStride", Kind::Whole(4, 252)),
    may("target", Kind::Code(&[34962, 34963])),
]);
static IMAGE: Shape = plain(&[
    may("name", Kind::Text),
    may("bufferView", Kind::Index("bufferViews")),
    may("mimeType", Kind::Text),
    may("uri", Kind::Text),
]);
static TEXTURE_SOURCE: Shape = plain(&[may("source", Kind::Index("images"))]);
static TEXTURE: Shape = Shape {
    fields: &[
        may("name", Kind::Text),
        may("sampler", Kind::Index("samplers")),
        may("source", Kind::Index("images")),
    ],
    extensions: &[
        ("EXT_texture_webp", &TEXTURE_SOURCE),
        ("KHR_texture_basisu", &TEXTURE_SOURCE),
        ("MSFT_texture_dds", &TEXTURE_SOURCE),
        ("EXT_texture_avif", &TEXTURE_SOURCE),
    ],
};
const WRAP: Kind = Kind::Code(&[33071, 33648, 10497]);
static SAMPLER: Shape = plain(&[
    may("name", Kind::Text),
    may("magFilter", Kind::Code(&[9728, 9729])),
    may("minFilter", Kind::Code(&[9728, 9729, 9984, 9985, 9986, 9987])),
    may("wrapS", WRAP),
    may("wrapT", WRAP),
]);
static PERSPECTIVE: Shape = plain(&[
    may("aspectRatio", POSITIVE),
    need("yfov", POSITIVE),
    may("zfar", POSITIVE),
    need("znear", POSITIVE),
]);
static ORTHOGRAPHIC: Shape = plain(&[
    need("xmag", FLOAT),
    need("ymag", FLOAT),
    need("zfar", POSITIVE),
    need("znear", POSITIVE),
]);
static CAMERA: Shape = plain(&[
    may("name", Kind::Text),
    need("type", Kind::Word(&["perspective", "orthographic"])),
    may("perspective", Kind::Object(&PERSPECTIVE)),
    may("orthographic", Kind::Object(&ORTHOGRAPHIC)),
]);
static TARGET: Shape = plain(&[
    may("node", Kind::Index("nodes")),
    need("path", Kind::Word(&["translation", "rotation", "scale", "weights"])),
]);
static CHANNEL: Shape = plain(&[need("sampler", COUNT), need("target", Kind::Object(&TARGET))]);
static ANIMATION_SAMPLER: Shape = plain(&[
    need("input", Kind::Index("accessors")),
    may("interpolation", Kind::Word(&["LINEAR", "STEP", "CUBICSPLINE"])),
    need("output", Kind::Index("accessors")),
]);
static ANIMATION: Shape = plain(&[
    may("name", Kind::Text),
    need("channels", Kind::List(&Kind::Object(&CHANNEL), 1, MANY)),
    need("samplers", Kind::List(&Kind::Object(&ANIMATION_SAMPLER), 1, MANY)),
]);
static ASSET: Shape = plain(&[
    need("version", Kind::Name),
    may("minVersion", Kind::Name),
    may("generator", Kind::Text),
    may("copyright", Kind::Text),
]);
static SPOT: Shape = plain(&[may("innerConeAngle", POSITIVE), may("outerConeAngle", POSITIVE)]);
static LIGHT: Shape = plain(&[
    need("type", Kind::Word(&["directional", "point", "spot"])),
    may("color", Kind::List(&SHARE, 3, 3)),
    may("intensity", POSITIVE),
    may("range", POSITIVE),
    may("spot", Kind::Object(&SPOT)),
]);
static LIGHTS: Shape = plain(&[need("lights", Kind::List(&Kind::Object(&LIGHT), 1, MANY))]);
static ROOT: Shape = Shape {
    fields: &[
        need("asset", Kind::Object(&ASSET)),
        may("accessors", Kind::List(&Kind::Object(&ACCESSOR), 1, MANY)),
        may("animations", Kind::List(&Kind::Object(&ANIMATION), 1, MANY)),
        may("buffers", Kind::List(&Kind::Object(&BUFFER), 1, MANY)),
        may("bufferViews", Kind::List(&Kind::Object(&VIEW), 1, MANY)),
        may("cameras", Kind::List(&Kind::Object(&CAMERA), 1, MANY)),
        may("extensionsUsed", Kind::List(&Kind::Name, 1, 256)),
        may("extensionsRequired", Kind::List(&Kind::Name, 1, 256)),
        may("images", Kind::List(&Kind::Object(&IMAGE), 1, MANY)),
        may("materials", Kind::List(&Kind::Object(&MATERIAL), 1, MANY)),
        may("meshes", Kind::List(&Kind::Object(&MESH), 1, MANY)),
        may("nodes", Kind::List(&Kind::Object(&NODE), 1, MANY)),
        may("samplers", Kind::List(&Kind::Object(&SAMPLER), 1, MANY)),
        may("scene", Kind::Index("scenes")),
        may("scenes", Kind::List(&Kind::Object(&SCENE), 1, MANY)),
        may("skins", Kind::List(&Kind::Object(&SKIN), 1, MANY)),
        may("textures", Kind::List(&Kind::Object(&TEXTURE), 1, MANY)),
    ],
    extensions: &[("KHR_lights_punctual", &LIGHTS)],
};

/// Checks the JSON of a glTF against the tables; afterwards every index in it is in range.
pub(super) fn check(root: &Value, issues: &mut Issues) {
    Checker::new(root, issues).check(root, &Kind::Object(&ROOT), "");
    let version = root.pointer("/asset/version").and_then(Value::as_str).unwrap_or_default();
    if !version.is_empty() && !version.starts_with("2.") {
        issues.error("GLTF_VERSION", "/asset/version", "glTF 2.0 would be right");
    }
    let least = root.pointer("/asset/minVersion").and_then(Value::as_str).unwrap_or("2.0");
    if least != "2.0" {
        issues.error("GLTF_VERSION", "/asset/minVersion", "glTF 2.0 would be right");
    }
    extensions(root, issues);
    let samplers = |animation: &Value| animation["samplers"].as_array().map_or(0, Vec::len) as u64;
    for (number, animation) in super::list(root, "animations").iter().enumerate() {
        for (at, channel) in super::list(animation, "channels").iter().enumerate() {
            if channel["sampler"].as_u64().is_some_and(|sampler| sampler >= samplers(animation)) {
                let pointer = format!("/animations/{number}/channels/{at}/sampler");
                issues.error(
                    "INDEX_OUT_OF_RANGE",
                    pointer,
                    "an index below the count of samplers would be right",
                );
            }
        }
    }
}

fn extensions(root: &Value, issues: &mut Issues) {
    let used = super::list(root, "extensionsUsed");
    for (number, name) in super::list(root, "extensionsRequired").iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        let family = READABLE_FAMILIES.iter().any(|start| name.starts_with(start));
        if !family && !READABLE.contains(&name) {
            let pointer = format!("/extensionsRequired/{number}");
            issues.error(
                "EXTENSION_UNSUPPORTED",
                pointer,
                format!("{name} is required but not read here; the same without it would be right"),
            );
        } else if !used.iter().any(|used| used == name) {
            issues.warn(
                "EXTENSION_UNDECLARED",
                format!("/extensionsRequired/{number}"),
                format!("{name} is not among extensionsUsed"),
            );
        }
    }
    for (number, name) in used.iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        if REFUSED.contains(&name) {
            let pointer = format!("/extensionsUsed/{number}");
            issues.error(
                "EXTENSION_UNSUPPORTED",
                pointer,
                format!("{name} is not read here; the same without it would be right"),
            );
        }
    }
    if let Some(all) = root.get("extensions").and_then(Value::as_object) {
        undeclared(all, used, issues);
    }
    let places = ["nodes", "materials", "meshes", "textures"];
    for thing in places.iter().flat_map(|place| super::list(root, place)) {
        let Some(all) = thing.get("extensions").and_then(Value::as_object) else { continue };
        undeclared(all, used, issues);
        if let Some(refused) = REFUSED.iter().find(|name| all.contains_key(**name)) {
            issues.error(
                "EXTENSION_UNSUPPORTED",
                "",
                format!("{refused} is not read here; the same without it would be right"),
            );
        }
    }
}

fn undeclared(all: &Map<String, Value>, used: &[Value], issues: &mut Issues) {
    for name in all.keys().filter(|name| !used.iter().any(|used| used == name.as_str())) {
        let short: String = name.chars().take(64).collect();
        issues.warn(
            "EXTENSION_UNDECLARED",
            "/extensionsUsed",
            format!("{short} is used but not declared"),
        );
    }
}

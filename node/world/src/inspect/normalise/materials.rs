//! The materials of VRM 0.x, which carry what a shader of Unity was told, as those of 1.0.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::float;
use crate::inspect::{index, list};

/// A part of a colour as it is shown, as a share of light (IEC 61966-2-1).
pub(super) fn linear(shown: f64) -> f64 {
    if shown <= 0.040_45 { shown.max(0.0) / 12.92 } else { ((shown + 0.055) / 1.055).powf(2.4) }
}

/// How a material is blended with what lies behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blend {
    Opaque,
    Cutout,
    Transparent,
    TransparentWithDepth,
}

/// What was said of a material in 0.x.
struct Old<'a> {
    json: &'a Value,
    textures: usize,
}

impl Old<'_> {
    fn shader(&self) -> &str {
        self.json["shader"].as_str().unwrap_or_default()
    }

    fn float(&self, name: &str, other: f64) -> f64 {
        float(&self.json["floatProperties"], name, other)
    }

    fn vector(&self, name: &str, other: [f64; 4]) -> [f64; 4] {
        let given = list(&self.json["vectorProperties"], name);
        let at = |place: usize| given.get(place).and_then(Value::as_f64).unwrap_or(other[place]);
        [at(0), at(1), at(2), at(3)]
    }

    /// A colour as a share of light, within what VRM 1.0 allows.
    fn colour(&self, name: &str, other: [f64; 4]) -> [f64; 3] {
        let [red, green, blue, _] = self.vector(name, other);
        [red, green, blue].map(|part| linear(part).clamp(0.0, 1.0))
    }

    fn texture(&self, name: &str) -> Option<usize> {
        index(&self.json["textureProperties"], name).filter(|at| *at < self.textures)
    }

    /// A reference to a texture, moved and scaled as the main one is.
    fn reference(&self, name: &str) -> Option<Value> {
        self.texture(name).map(|at| json!({ "index": at, "extensions": self.transform() }))
    }

    fn transform(&self) -> Value {
        let [x, y, width, height] = self.vector("_MainTex", [0.0, 0.0, 1.0, 1.0]);
        // Unity counts from the lower edge of a picture, glTF from the upper.
        let offset = [x, 1.0 - height - y];
        json!({ "KHR_texture_transform": { "offset": offset, "scale": [width, height] } })
    }

    fn blend(&self) -> Blend {
        let keyword = |name: &str| self.json["keywordMap"][name].as_bool().unwrap_or(false);
        let writes_depth = (self.float("_ZWrite", 0.0) - 1.0).abs() < 0.5;
        match self.shader() {
            "VRM/UnlitTexture" => Blend::Opaque,
            "VRM/UnlitCutout" => Blend::Cutout,
            "VRM/UnlitTransparent" => Blend::Transparent,
            "VRM/UnlitTransparentZWrite" => Blend::TransparentWithDepth,
            _ if keyword("_ALPHABLEND_ON") && writes_depth => Blend::TransparentWithDepth,
            _ if keyword("_ALPHABLEND_ON") => Blend::Transparent,
            _ if keyword("_ALPHATEST_ON") => Blend::Cutout,
            _ => match self.float("_BlendMode", 0.0) {
                mode if mode > 2.5 => Blend::TransparentWithDepth,
                mode if mode > 1.5 => Blend::Transparent,
                mode if mode > 0.5 => Blend::Cutout,
                _ => Blend::Opaque,
            },
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest whole number")]
    fn queue(&self) -> i64 {
        float(self.json, "renderQueue", -1.0) as i64
    }
}

/// The order in which transparent materials are drawn, kept as far as 1.0 can say it.
struct Queues {
    plain: Vec<i64>,
    with_depth: Vec<i64>,
}

impl Queues {
    fn of(all: &[Old<'_>]) -> Self {
        let queues = |blend: Blend| {
            let set: BTreeSet<i64> =
                all.iter().filter(|old| old.blend() == blend).map(Old::queue).collect();
            set.into_iter().collect()
        };
        Self { plain: queues(Blend::Transparent), with_depth: queues(Blend::TransparentWithDepth) }
    }

    /// Without depth the last is 0 and those before are below; with depth the first is 0.
    fn offset(&self, old: &Old<'_>) -> i64 {
        let place = |queues: &[i64]| {
            let at = queues.iter().position(|queue| *queue == old.queue()).unwrap_or(0);
            i64::try_from(at).unwrap_or(0)
        };
        match old.blend() {
            Blend::Transparent => {
                let last = i64::try_from(self.plain.len()).unwrap_or(1) - 1;
                (place(&self.plain) - last).max(-9)
            }
            Blend::TransparentWithDepth => place(&self.with_depth).min(9),
            Blend::Opaque | Blend::Cutout => 0,
        }
    }
}

/// Rewrites the materials that a shader of VRM drew; others are glTF's own and stay.
pub(super) fn from_0(root: &mut Value, vrm: &Value) {
    let textures = list(root, "textures").len();
    let properties = list(vrm, "materialProperties").iter();
    let all: Vec<Old<'_>> = properties.map(|json| Old { json, textures }).collect();
    let queues = Queues::of(&all);
    let materials = root.get_mut("materials").and_then(Value::as_array_mut);
    for (material, old) in materials.into_iter().flatten().zip(&all) {
        let Some(material) = material.as_object_mut() else { continue };
        match old.shader() {
            "VRM/MToon" => {
                surface(material, old);
                let toon = toon(old, queues.offset(old));
                material.insert("extensions".into(), json!({ "VRMC_materials_mtoon": toon }));
            }
            // glTF has no transparent material that writes depth; a toon of one colour looks the same.
            "VRM/UnlitTransparentZWrite" => {
                surface(material, old);
                let mut toon = json!({
                    "specVersion": "1.0",
                    "transparentWithZWrite": true,
                    "renderQueueOffsetNumber": queues.offset(old),
                    "shadeColorFactor": old.colour("_Color", [1.0; 4]),
                });
                if let Some(texture) = old.reference("_MainTex") {
                    toon["shadeMultiplyTexture"] = texture;
                }
                material.insert("extensions".into(), json!({ "VRMC_materials_mtoon": toon }));
            }
            shader if shader.starts_with("VRM/Unlit") => {
                surface(material, old);
                material.insert("extensions".into(), json!({ "KHR_materials_unlit": {} }));
            }
            _ => {}
        }
    }
}

/// What glTF itself knows of a material.
fn surface(material: &mut Map<String, Value>, old: &Old<'_>) {
    let [red, green, blue] = old.colour("_Color", [1.0; 4]);
    let alpha = old.vector("_Color", [1.0; 4])[3].clamp(0.0, 1.0);
    let mut pbr = json!({
        "baseColorFactor": [red, green, blue, alpha], "metallicFactor": 0.0, "roughnessFactor": 0.9,
    });
    if let Some(texture) = old.reference("_MainTex") {
        pbr["baseColorTexture"] = texture;
    }
    material.insert("pbrMetallicRoughness".into(), pbr);
    let mode = match old.blend() {
        Blend::Opaque => "OPAQUE",
        Blend::Cutout => "MASK",
        Blend::Transparent | Blend::TransparentWithDepth => "BLEND",
    };
    material.insert("alphaMode".into(), mode.into());
    material.remove("alphaCutoff");
    if mode == "MASK" {
        material.insert("alphaCutoff".into(), old.float("_Cutoff", 0.5).clamp(0.0, 1.0).into());
    }
    // A body that shows only its backs is beyond glTF: both sides are the nearest.
    let both_sides = old.float("_CullMode", 2.0) < 1.5;
    material.insert("doubleSided".into(), both_sides.into());
    for name in ["normalTexture", "emissiveTexture", "emissiveFactor"] {
        material.remove(name);
    }
    if let Some(mut texture) = old.reference("_BumpMap") {
        texture["scale"] = old.float("_BumpScale", 1.0).into();
        material.insert("normalTexture".into(), texture);
    }
    let [red, green, blue, _] = old.vector("_EmissionColor", [0.0; 4]);
    let glow = [red, green, blue].map(|part| part.clamp(0.0, 1.0));
    material.insert("emissiveFactor".into(), json!(glow));
    if let Some(texture) = old.reference("_EmissionMap") {
        material.insert("emissiveTexture".into(), texture);
    }
}

/// What the toon shader adds.
fn toon(old: &Old<'_>, queue: i64) -> Value {
    // The border of the shade was one edge and a softness towards it; now it is the middle of a ramp.
    let shift = old.float("_ShadeShift", 0.0);
    let toony = old.float("_ShadeToony", 0.9);
    let ramp_end = toony + (1.0 - toony) * (0.5 + 0.5 * shift);
    let (width_mode, width) = match old.float("_OutlineWidthMode", 0.0) {
        mode if mode > 1.5 => ("screenCoordinates", 0.005),
        mode if mode > 0.5 => ("worldCoordinates", 0.01),
        _ => ("none", 0.0),
    };
    let mixes = old.float("_OutlineColorMode", 0.0) > 0.5;
    let matcap = old.texture("_SphereAdd");
    let mut toon = json!({
        "specVersion": "1.0",
        "transparentWithZWrite": old.blend() == Blend::TransparentWithDepth,
        "renderQueueOffsetNumber": queue,
        "shadeColorFactor": old.colour("_ShadeColor", [0.97, 0.81, 0.86, 1.0]),
        "shadingShiftFactor": -shift - (1.0 - ramp_end),
        "shadingToonyFactor": ramp_end.clamp(0.0, 1.0),
        "giEqualizationFactor": (1.0 - old.float("_IndirectLightIntensity", 0.1)).clamp(0.0, 1.0),
        "matcapFactor": if matcap.is_some() { [1.0; 3] } else { [0.0; 3] },
        "parametricRimColorFactor": old.colour("_RimColor", [0.0; 4]),
        "parametricRimFresnelPowerFactor": old.float("_RimFresnelPower", 1.0).max(0.0),
        "parametricRimLiftFactor": old.float("_RimLift", 0.0),
        // Rims and spheres are one in 1.0, and lit as the body is.
        "rimLightingMixFactor": 1.0,
        "outlineWidthMode": width_mode,
        "outlineWidthFactor": (old.float("_OutlineWidth", 0.0) * width).max(0.0),
        "outlineColorFactor": old.colour("_OutlineColor", [0.0; 4]),
        "outlineLightingMixFactor": if mixes { old.float("_OutlineLightingMix", 1.0).clamp(0.0, 1.0) } else { 0.0 },
        "uvAnimationScrollXSpeedFactor": old.float("_UvAnimScrollX", 0.0),
        "uvAnimationScrollYSpeedFactor": -old.float("_UvAnimScrollY", 0.0),
        "uvAnimationRotationSpeedFactor": old.float("_UvAnimRotation", 0.0),
    });
    // Most authors set no picture for the shade, and mean that of the light.
    let shade = old.reference("_ShadeTexture").or_else(|| old.reference("_MainTex"));
    let textures = [
        ("shadeMultiplyTexture", shade),
        ("matcapTexture", matcap.map(|at| json!({ "index": at }))),
        ("rimMultiplyTexture", old.reference("_RimTexture")),
        ("outlineWidthMultiplyTexture", old.reference("_OutlineWidthTexture")),
        ("uvAnimationMaskTexture", old.reference("_UvAnimMaskTexture")),
    ];
    for (name, texture) in textures {
        if let Some(texture) = texture {
            toon[name] = texture;
        }
    }
    toon
}

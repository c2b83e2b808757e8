//! Materials: `MToon` with every field written, since some readers take a missing one for a fault.

use serde_json::{Value, json};

/// The textures of a body in the file.
#[derive(Clone, Copy)]
pub(super) struct Textures {
    pub(super) lit: usize,
    pub(super) shade: usize,
}

/// How thick the outline is, in metres, and how dark.
const OUTLINE_METRES: f32 = 0.0012;

/// Cloth, hair and skin, with a fine outline.
pub(super) fn body(textures: Textures) -> Value {
    material("body", textures, OUTLINE_METRES)
}

/// The features of the face, which lie so flat that an outline would blot them.
pub(super) fn face(textures: Textures) -> Value {
    material("face", textures, 0.0)
}

fn material(name: &str, textures: Textures, outline_metres: f32) -> Value {
    let mode = if outline_metres > 0.0 { "worldCoordinates" } else { "none" };
    json!({
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [1.0, 1.0, 1.0, 1.0],
            "baseColorTexture": { "index": textures.lit, "texCoord": 0 },
            "metallicFactor": 0.0,
            "roughnessFactor": 0.9,
        },
        "emissiveFactor": [0.0, 0.0, 0.0],
        "alphaMode": "OPAQUE",
        // Skirts are open below.
        "doubleSided": true,
        "extensions": { "VRMC_materials_mtoon": {
            "specVersion": "1.0",
            "transparentWithZWrite": false,
            "renderQueueOffsetNumber": 0,
            // The shade has its own picture: a hue of its own for skin and for cloth.
            "shadeColorFactor": [1.0, 1.0, 1.0],
            "shadeMultiplyTexture": { "index": textures.shade, "texCoord": 0 },
            "shadingShiftFactor": -0.12,
            "shadingToonyFactor": 0.62,
            "giEqualizationFactor": 0.9,
            "matcapFactor": [0.0, 0.0, 0.0],
            "parametricRimColorFactor": [0.16, 0.16, 0.18],
            "rimLightingMixFactor": 1.0,
            "parametricRimFresnelPowerFactor": 4.0,
            "parametricRimLiftFactor": 0.0,
            "outlineWidthMode": mode,
            "outlineWidthFactor": outline_metres,
            "outlineColorFactor": [0.09, 0.06, 0.08],
            "outlineLightingMixFactor": 1.0,
            "uvAnimationScrollXSpeedFactor": 0.0,
            "uvAnimationScrollYSpeedFactor": 0.0,
            "uvAnimationRotationSpeedFactor": 0.0,
        } },
    })
}

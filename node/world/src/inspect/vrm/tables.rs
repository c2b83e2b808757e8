//! The tables of VRM: what its extensions may hold, in 1.0 and in 0.x.

use crate::inspect::{
    core::TEXTURE_INFO,
    schema::{COUNT, FLOAT, Field, Kind, MANY, POSITIVE, SHARE, Shape, may, need},
};

const fn plain(fields: &'static [Field]) -> Shape {
    Shape { fields, extensions: &[] }
}

const TEXTURE: Kind = Kind::Object(&TEXTURE_INFO);
const COLOUR: Kind = Kind::List(&SHARE, 3, 3);
const VECTOR: Kind = Kind::List(&FLOAT, 3, 3);

/// `VRMC_materials_mtoon` 1.0.
pub(in crate::inspect) static MTOON: Shape = plain(&[
    need("specVersion", Kind::Name),
    may("transparentWithZWrite", Kind::Flag),
    may("renderQueueOffsetNumber", Kind::Number(-9.0, 9.0)),
    may("shadeColorFactor", COLOUR),
    may("shadeMultiplyTexture", TEXTURE),
    may("shadingShiftFactor", FLOAT),
    may("shadingShiftTexture", TEXTURE),
    may("shadingToonyFactor", SHARE),
    may("giEqualizationFactor", SHARE),
    may("matcapFactor", COLOUR),
    may("matcapTexture", TEXTURE),
    may("parametricRimColorFactor", COLOUR),
    may("rimMultiplyTexture", TEXTURE),
    may("rimLightingMixFactor", SHARE),
    may("parametricRimFresnelPowerFactor", POSITIVE),
    may("parametricRimLiftFactor", FLOAT),
    may("outlineWidthMode", Kind::Word(&["none", "worldCoordinates", "screenCoordinates"])),
    may("outlineWidthFactor", POSITIVE),
    may("outlineWidthMultiplyTexture", TEXTURE),
    may("outlineColorFactor", COLOUR),
    may("outlineLightingMixFactor", SHARE),
    may("uvAnimationMaskTexture", TEXTURE),
    may("uvAnimationScrollXSpeedFactor", FLOAT),
    may("uvAnimationScrollYSpeedFactor", FLOAT),
    may("uvAnimationRotationSpeedFactor", FLOAT),
]);

const AXES: &[&str] =
    &["PositiveX", "NegativeX", "PositiveY", "NegativeY", "PositiveZ", "NegativeZ"];
static ROLL: Shape = plain(&[
    need("source", Kind::Index("nodes")),
    need("rollAxis", Kind::Word(&["X", "Y", "Z"])),
    may("weight", SHARE),
]);
static AIM: Shape = plain(&[
    need("source", Kind::Index("nodes")),
    need("aimAxis", Kind::Word(AXES)),
    may("weight", SHARE),
]);
static ROTATION: Shape = plain(&[need("source", Kind::Index("nodes")), may("weight", SHARE)]);
static CONSTRAINTS: Shape = plain(&[
    may("roll", Kind::Object(&ROLL)),
    may("aim", Kind::Object(&AIM)),
    may("rotation", Kind::Object(&ROTATION)),
]);
/// `VRMC_node_constraint` 1.0.
pub(in crate::inspect) static CONSTRAINT: Shape =
    plain(&[may("specVersion", Kind::Name), need("constraint", Kind::Object(&CONSTRAINTS))]);

static META: Shape = plain(&[
    may("name", Kind::Text),
    may("version", Kind::Text),
    may("authors", Kind::List(&Kind::Text, 1, 1_000)),
    may("copyrightInformation", Kind::Text),
    may("contactInformation", Kind::Text),
    may("references", Kind::List(&Kind::Text, 1, 1_000)),
    may("thirdPartyLicenses", Kind::Text),
    may("thumbnailImage", Kind::Index("images")),
    need("licenseUrl", Kind::Text),
    may("avatarPermission", Kind::Word(super::licence::PERMISSIONS)),
    may("allowExcessivelyViolentUsage", Kind::Flag),
    may("allowExcessivelySexualUsage", Kind::Flag),
    may("commercialUsage", Kind::Word(super::licence::COMMERCIAL)),
    may("allowPoliticalOrReligiousUsage", Kind::Flag),
    may("allowAntisocialOrHateUsage", Kind::Flag),
    may("creditNotation", Kind::Word(super::licence::CREDIT)),
    may("allowRedistribution", Kind::Flag),
    may("modification", Kind::Word(super::licence::MODIFICATION)),
    may("otherLicenseUrl", Kind::Text),
]);
static BONE: Shape = plain(&[need("node", Kind::Index("nodes"))]);
static BONES: Kind = Kind::Object(&BONE);
static HUMANOID: Shape = plain(&[need("humanBones", Kind::Map(&BONES))]);
static ANNOTATION: Shape = plain(&[
    need("node", Kind::Index("nodes")),
    need("type", Kind::Word(&["auto", "both", "thirdPersonOnly", "firstPersonOnly"])),
]);
static FIRST_PERSON: Shape =
    plain(&[may("meshAnnotations", Kind::List(&Kind::Object(&ANNOTATION), 1, MANY))]);
static RANGE: Shape =
    plain(&[may("inputMaxValue", Kind::Number(0.0, 180.0)), may("outputScale", FLOAT)]);
static LOOK_AT: Shape = plain(&[
    may("offsetFromHeadBone", VECTOR),
    may("type", Kind::Word(&["bone", "expression"])),
    may("rangeMapHorizontalInner", Kind::Object(&RANGE)),
    may("rangeMapHorizontalOuter", Kind::Object(&RANGE)),
    may("rangeMapVerticalDown", Kind::Object(&RANGE)),
    may("rangeMapVerticalUp", Kind::Object(&RANGE)),
]);
static MORPH_BIND: Shape =
    plain(&[need("node", Kind::Index("nodes")), need("index", COUNT), need("weight", FLOAT)]);
static COLOUR_BIND: Shape = plain(&[
    need("material", Kind::Index("materials")),
    need(
        "type",
        Kind::Word(&[
            "color",
            "emissionColor",
            "shadeColor",
            "matcapColor",
            "rimColor",
            "outlineColor",
        ]),
    ),
    need("targetValue", Kind::List(&FLOAT, 4, 4)),
]);
static TRANSFORM_BIND: Shape = plain(&[
    need("material", Kind::Index("materials")),
    may("scale", Kind::List(&FLOAT, 2, 2)),
    may("offset", Kind::List(&FLOAT, 2, 2)),
]);
const OVERRIDE: Kind = Kind::Word(&["none", "block", "blend"]);
static EXPRESSION: Shape = plain(&[
    may("morphTargetBinds", Kind::List(&Kind::Object(&MORPH_BIND), 1, MANY)),
    may("materialColorBinds", Kind::List(&Kind::Object(&COLOUR_BIND), 1, MANY)),
    may("textureTransformBinds", Kind::List(&Kind::Object(&TRANSFORM_BIND), 1, MANY)),
    may("isBinary", Kind::Flag),
    may("overrideBlink", OVERRIDE),
    may("overrideLookAt", OVERRIDE),
    may("overrideMouth", OVERRIDE),
]);
static EXPRESSION_KIND: Kind = Kind::Object(&EXPRESSION);
static EXPRESSIONS: Shape = plain(&[
    may("preset", Kind::Map(&EXPRESSION_KIND)),
    may("custom", Kind::Map(&EXPRESSION_KIND)),
]);
/// `VRMC_vrm` 1.0.
pub(super) static VRM_1: Shape = plain(&[
    need("specVersion", Kind::Name),
    need("meta", Kind::Object(&META)),
    need("humanoid", Kind::Object(&HUMANOID)),
    may("firstPerson", Kind::Object(&FIRST_PERSON)),
    may("lookAt", Kind::Object(&LOOK_AT)),
    may("expressions", Kind::Object(&EXPRESSIONS)),
]);

static SPHERE: Shape = plain(&[may("offset", VECTOR), may("radius", POSITIVE)]);
static CAPSULE: Shape =
    plain(&[may("offset", VECTOR), may("radius", POSITIVE), may("tail", VECTOR)]);
static COLLIDER_SHAPE: Shape =
    plain(&[may("sphere", Kind::Object(&SPHERE)), may("capsule", Kind::Object(&CAPSULE))]);
static COLLIDER: Shape =
    plain(&[need("node", Kind::Index("nodes")), need("shape", Kind::Object(&COLLIDER_SHAPE))]);
const SPRINGS: &str = "VRMC_springBone";
static COLLIDER_GROUP: Shape = plain(&[
    may("name", Kind::Text),
    need("colliders", Kind::List(&Kind::IndexIn(SPRINGS, "colliders"), 1, MANY)),
]);
static JOINT: Shape = plain(&[
    need("node", Kind::Index("nodes")),
    may("hitRadius", POSITIVE),
    may("stiffness", POSITIVE),
    may("gravityPower", POSITIVE),
    may("gravityDir", VECTOR),
    may("dragForce", SHARE),
]);
static SPRING: Shape = plain(&[
    may("name", Kind::Text),
    need("joints", Kind::List(&Kind::Object(&JOINT), 1, MANY)),
    may("colliderGroups", Kind::List(&Kind::IndexIn(SPRINGS, "colliderGroups"), 1, MANY)),
    may("center", Kind::Index("nodes")),
]);
/// `VRMC_springBone` 1.0.
pub(super) static SPRING_BONE: Shape = plain(&[
    may("specVersion", Kind::Name),
    may("colliders", Kind::List(&Kind::Object(&COLLIDER), 1, MANY)),
    may("colliderGroups", Kind::List(&Kind::Object(&COLLIDER_GROUP), 1, MANY)),
    may("springs", Kind::List(&Kind::Object(&SPRING), 1, MANY)),
]);

// Of VRM 0.x only the kinds are checked: its files carry stale indices everywhere, and -1 for none.
static BONE_0: Shape = plain(&[need("bone", Kind::Text), need("node", FLOAT)]);
static HUMANOID_0: Shape =
    plain(&[need("humanBones", Kind::List(&Kind::Object(&BONE_0), 0, 1_000))]);
static BIND_0: Shape = plain(&[may("mesh", FLOAT), may("index", FLOAT), may("weight", FLOAT)]);
static NUMBERS: Kind = Kind::List(&FLOAT, 0, 16);
static VALUE_0: Shape = plain(&[
    may("materialName", Kind::Text),
    may("propertyName", Kind::Text),
    may("targetValue", Kind::List(&FLOAT, 0, 16)),
]);
static GROUP_0: Shape = plain(&[
    may("name", Kind::Text),
    may("presetName", Kind::Text),
    may("binds", Kind::List(&Kind::Object(&BIND_0), 0, MANY)),
    may("materialValues", Kind::List(&Kind::Object(&VALUE_0), 0, MANY)),
    may("isBinary", Kind::Flag),
]);
static SHAPES_0: Shape =
    plain(&[may("blendShapeGroups", Kind::List(&Kind::Object(&GROUP_0), 0, MANY))]);
static VECTOR_0: Shape = plain(&[may("x", FLOAT), may("y", FLOAT), may("z", FLOAT)]);
static MAP_0: Shape = plain(&[may("xRange", FLOAT), may("yRange", FLOAT)]);
static ANNOTATION_0: Shape = plain(&[may("mesh", FLOAT), may("firstPersonFlag", Kind::Text)]);
static FIRST_PERSON_0: Shape = plain(&[
    may("firstPersonBoneOffset", Kind::Object(&VECTOR_0)),
    may("meshAnnotations", Kind::List(&Kind::Object(&ANNOTATION_0), 0, MANY)),
    may("lookAtTypeName", Kind::Text),
    may("lookAtHorizontalInner", Kind::Object(&MAP_0)),
    may("lookAtHorizontalOuter", Kind::Object(&MAP_0)),
    may("lookAtVerticalDown", Kind::Object(&MAP_0)),
    may("lookAtVerticalUp", Kind::Object(&MAP_0)),
]);
static MATERIAL_0: Shape = plain(&[
    may("name", Kind::Text),
    may("shader", Kind::Text),
    may("renderQueue", FLOAT),
    may("floatProperties", Kind::Map(&FLOAT)),
    may("vectorProperties", Kind::Map(&NUMBERS)),
    may("textureProperties", Kind::Map(&FLOAT)),
    may("keywordMap", Kind::Map(&Kind::Flag)),
]);
static COLLIDER_0: Shape = plain(&[may("offset", Kind::Object(&VECTOR_0)), may("radius", FLOAT)]);
static COLLIDERS_0: Shape =
    plain(&[may("node", FLOAT), may("colliders", Kind::List(&Kind::Object(&COLLIDER_0), 0, MANY))]);
static SPRINGS_0: Shape = plain(&[
    may("comment", Kind::Text),
    may("stiffiness", FLOAT),
    may("gravityPower", FLOAT),
    may("gravityDir", Kind::Object(&VECTOR_0)),
    may("dragForce", FLOAT),
    may("center", FLOAT),
    may("hitRadius", FLOAT),
    may("bones", Kind::List(&FLOAT, 0, MANY)),
    may("colliderGroups", Kind::List(&FLOAT, 0, MANY)),
]);
static SECONDARY_0: Shape = plain(&[
    may("boneGroups", Kind::List(&Kind::Object(&SPRINGS_0), 0, MANY)),
    may("colliderGroups", Kind::List(&Kind::Object(&COLLIDERS_0), 0, MANY)),
]);
static META_0: Shape = plain(&[
    may("title", Kind::Text),
    may("version", Kind::Text),
    may("author", Kind::Text),
    may("contactInformation", Kind::Text),
    may("reference", Kind::Text),
    may("texture", FLOAT),
    may("allowedUserName", Kind::Text),
    may("violentUssageName", Kind::Text),
    may("sexualUssageName", Kind::Text),
    may("commercialUssageName", Kind::Text),
    may("otherPermissionUrl", Kind::Text),
    may("licenseName", Kind::Text),
    may("otherLicenseUrl", Kind::Text),
]);
/// `VRM` 0.x.
pub(super) static VRM_0: Shape = plain(&[
    may("meta", Kind::Object(&META_0)),
    need("humanoid", Kind::Object(&HUMANOID_0)),
    may("firstPerson", Kind::Object(&FIRST_PERSON_0)),
    may("blendShapeMaster", Kind::Object(&SHAPES_0)),
    may("secondaryAnimation", Kind::Object(&SECONDARY_0)),
    may("materialProperties", Kind::List(&Kind::Object(&MATERIAL_0), 0, MANY)),
]);

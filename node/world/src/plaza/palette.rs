//! The colours of the plaza: warm stone and terracotta, deep greens, a violet and peach evening.

/// Paving, from the light sand of its middle to the slate of its bands.
pub(super) const SAND: u32 = 0x00e6_cfa8;
pub(super) const HONEY: u32 = 0x00d3_ad7c;
pub(super) const CLAY: u32 = 0x00c0_7a58;
pub(super) const SLATE: u32 = 0x0066_6d7d;
pub(super) const JOINT: u32 = 0x0078_6a5c;
/// Walls and stone.
pub(super) const STONE: u32 = 0x00c9_b79c;
pub(super) const STONE_DARK: u32 = 0x0085_7766;
pub(super) const CREAM: u32 = 0x00f3_e3c8;
pub(super) const PEACH: u32 = 0x00ec_b58e;
pub(super) const ROSE: u32 = 0x00d9_9180;
pub(super) const OCHRE: u32 = 0x00e0_b466;
pub(super) const MIST: u32 = 0x00b9_c9cf;
/// Roofs, wood, iron and cloth.
pub(super) const ROOF: u32 = 0x00b5_583f;
pub(super) const ROOF_LIGHT: u32 = 0x00d1_7a54;
pub(super) const WOOD: u32 = 0x009c_6b45;
pub(super) const WOOD_LIGHT: u32 = 0x00c3_9262;
pub(super) const WOOD_DARK: u32 = 0x0058_3b2b;
pub(super) const IRON: u32 = 0x0033_464c;
pub(super) const TEAL: u32 = 0x002f_7f83;
pub(super) const CORAL: u32 = 0x00e2_6f5a;
pub(super) const LINEN: u32 = 0x00fb_f0dc;
pub(super) const BARK: u32 = 0x0078_5642;
pub(super) const BARK_RED: u32 = 0x008a_5a42;
pub(super) const POT: u32 = 0x00c9_744f;
/// The land.
pub(super) const GRASS: u32 = 0x0073_9a3f;
pub(super) const GRASS_GOLD: u32 = 0x00a3_ab4c;
pub(super) const GRASS_DEEP: u32 = 0x0044_733c;
pub(super) const GRAVEL: u32 = 0x00cf_ab78;
pub(super) const BEACH: u32 = 0x00e8_d1a2;
pub(super) const SEABED: u32 = 0x0054_857c;
pub(super) const ROCK: u32 = 0x009a_8b80;
/// Crowns, from their shaded heart to their tips.
pub(super) const LEAF: [u32; 2] = [0x0026_4f3a, 0x0093_b04c];
pub(super) const LEAF_WARM: [u32; 2] = [0x0053_5a2c, 0x00d9_b04a];
pub(super) const PINE: [u32; 2] = [0x002a_5546, 0x0072_9f57];
pub(super) const CYPRESS: [u32; 2] = [0x0017_3a33, 0x004d_7c48];
pub(super) const BLOSSOM: [u32; 2] = [0x00bd_6384, 0x00ff_cbc8];
pub(super) const BUSH: [u32; 2] = [0x002b_5537, 0x0082_a548];
pub(super) const LAVENDER: [u32; 2] = [0x004e_5a58, 0x00a5_8bd2];
/// The sea and the far away.
pub(super) const SEA: u32 = 0x001d_5a70;
pub(super) const SEA_SHALLOW: u32 = 0x0059_b3a8;
pub(super) const HAZE: u32 = 0x00f0_a988;
pub(super) const FAR: u32 = 0x007a_6a94;
pub(super) const FARTHER: u32 = 0x00a9_84a4;

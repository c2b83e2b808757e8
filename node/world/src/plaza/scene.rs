//! The plaza as a glTF scene: materials, nodes, lights, sky, places to arrive and to sit, and what holds.

use serde_json::{Value, json};

use super::{
    arithmetic::{Frame, V3},
    horizon::{SUN_HEIGHT, SUN_YAW},
    land,
    mesh::Mesh,
    site::{Site, Solid},
};
use crate::glb::{Builder, Index};

/// How a mesh is written.
#[derive(Clone, Copy, PartialEq)]
enum Faces {
    /// With a normal at every corner.
    Round,
    /// Without normals: glTF has such faces drawn flat, and the file is half as large.
    Flat,
    /// Without normals and colours: the material alone says how it looks.
    Bare,
}

pub(super) fn write(site: &Site) -> Vec<u8> {
    let mut scene = Scene { builder: Builder::new(), roots: Vec::new(), shapes: Vec::new() };
    scene.drawn(site);
    scene.lights(site);
    scene.places(site);
    scene.bodies(site);
    let Scene { mut builder, roots, shapes } = scene;
    builder.extend("OMI_physics_shape", json!({ "shapes": shapes }));
    builder.extend("OMI_environment_sky", sky());
    builder.finish(&roots, "plaza")
}

struct Scene {
    builder: Builder,
    roots: Vec<Index>,
    shapes: Vec<Value>,
}

fn sky() -> Value {
    json!({ "skies": [{
        "type": "gradient",
        "ambientLightColor": [0.55, 0.5, 0.66],
        "ambientSkyContribution": 0.5,
        "gradient": {
            "topColor": [0.075, 0.125, 0.36],
            "topCurve": 0.3,
            "horizonColor": [1.0, 0.45, 0.22],
            "bottomColor": [0.2, 0.19, 0.3],
            "bottomCurve": 0.12,
            "sunAngleMax": 0.7,
            "sunCurve": 0.1,
        },
    }] })
}

fn matte(name: &str, roughness: f32) -> Value {
    json!({ "name": name, "pbrMetallicRoughness": {
        "metallicFactor": 0.0, "roughnessFactor": roughness,
    } })
}

fn shining(name: &str, colour: [f32; 3], strength: f32) -> Value {
    json!({
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [0.02, 0.02, 0.02, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6,
        },
        "emissiveFactor": colour,
        "extensions": { "KHR_materials_emissive_strength": { "emissiveStrength": strength } },
    })
}

/// Numbers are rounded to a tenth of a millimetre, so that the JSON stays readable.
fn tidy(numbers: impl IntoIterator<Item = f32>) -> Value {
    let round = |number: f32| (f64::from(number) * 10_000.0).round() / 10_000.0;
    numbers.into_iter().map(round).collect::<Vec<f64>>().into()
}

fn turned(yaw: f32) -> Value {
    let (sine, cosine) = (f64::from(yaw) / 2.0).sin_cos();
    json!([0.0, sine, 0.0, cosine])
}

impl Scene {
    fn mesh(&mut self, name: &str, mesh: &Mesh, faces: Faces, material: Option<Index>) -> Index {
        let points: Vec<_> = mesh.points.iter().map(|point| point.array()).collect();
        let mut attributes = json!({ "POSITION": self.builder.attribute(&points, true) });
        if faces == Faces::Round {
            let normals: Vec<_> = mesh.normals.iter().map(|normal| normal.array()).collect();
            attributes["NORMAL"] = self.builder.attribute(&normals, false).into();
        }
        if faces != Faces::Bare {
            attributes["COLOR_0"] = self.builder.colours(&mesh.colours).into();
        }
        let corners = self.builder.indices(&mesh.corners);
        let mut primitive = json!({ "attributes": attributes, "indices": corners });
        if let Some(material) = material {
            primitive["material"] = material.into();
        }
        self.builder.add("meshes", json!({ "name": name, "primitives": [primitive] }))
    }

    fn node(&mut self, node: Value) {
        let index = self.builder.add("nodes", node);
        self.roots.push(index);
    }

    fn draw(&mut self, name: &str, mesh: &Mesh, faces: Faces, material: Value) -> Index {
        let material = self.builder.add("materials", material);
        let index = self.mesh(name, mesh, faces, Some(material));
        self.node(json!({ "name": name, "mesh": index }));
        index
    }

    fn drawn(&mut self, site: &Site) {
        self.builder.uses("KHR_materials_emissive_strength");
        self.builder.uses("KHR_materials_unlit");
        let ground = self.draw("ground", &site.ground, Faces::Round, matte("ground", 0.95));
        self.shape_of_drawn(ground);
        self.draw("hills", &site.around, Faces::Round, matte("hills", 1.0));
        self.draw("buildings", &site.matter, Faces::Flat, matte("buildings", 0.82));
        self.draw("leaves", &site.leaves, Faces::Round, matte("leaves", 0.9));
        self.draw("woods", &site.woods, Faces::Flat, matte("woods", 1.0));
        self.draw("grass", &site.grass, Faces::Round, matte("grass", 0.9));
        let mut far = matte("horizon", 1.0);
        far["extensions"] = json!({ "KHR_materials_unlit": {} });
        self.draw("horizon", &site.far, Faces::Flat, far);
        self.draw(
            "lanterns",
            &site.lanterns,
            Faces::Bare,
            shining("lanterns", [1.0, 0.46, 0.11], 2.2),
        );
        self.draw(
            "windows",
            &site.windows,
            Faces::Bare,
            shining("windows", [1.0, 0.46, 0.12], 1.15),
        );
        self.draw("linings", &site.linings, Faces::Bare, shining("linings", [0.1, 0.75, 0.9], 1.5));
        self.draw("water", &land::sea(), Faces::Round, matte("water", 0.22));
        self.draw("basins", &site.basin, Faces::Flat, matte("basins", 0.12));
        let mut spray = matte("spray", 0.3);
        spray["alphaMode"] = "BLEND".into();
        spray["doubleSided"] = true.into();
        spray["emissiveFactor"] = json!([0.14, 0.12, 0.1]);
        self.draw("spray", &site.spray, Faces::Round, spray);
        let mut pools = matte("lamplight", 1.0);
        pools["alphaMode"] = "BLEND".into();
        pools["emissiveFactor"] = json!([0.62, 0.34, 0.12]);
        self.draw("lamplight", &site.pools, Faces::Round, pools);
    }

    fn lights(&mut self, site: &Site) {
        let sun = json!({ "name": "sun", "type": "directional", "color": [1.0, 0.69, 0.42], "intensity": 3.4 });
        let mut lights = vec![sun];
        let (sine, cosine) = (f64::from(SUN_YAW) / 2.0).sin_cos();
        let (dip, level) = (-f64::from(SUN_HEIGHT) / 2.0).sin_cos();
        let rotation = json!([cosine * dip, sine * level, -sine * dip, cosine * level]);
        let light = |at: usize| json!({ "KHR_lights_punctual": { "light": at } });
        self.node(json!({ "name": "sun", "rotation": rotation, "extensions": light(0) }));
        for (at, range) in &site.lights {
            let number = lights.len();
            let name = format!("light_{number}");
            lights.push(json!({
                "name": name, "type": "point", "color": [1.0, 0.64, 0.32], "intensity": 22.0, "range": range,
            }));
            self.node(json!({ "name": name, "translation": tidy(at.array()), "extensions": light(number) }));
        }
        self.builder.extend("KHR_lights_punctual", json!({ "lights": lights }));
    }

    /// A node without a mesh: where something may be, and which way it faces.
    fn place(&mut self, name: &str, frame: Frame, extensions: Option<Value>) {
        let mut node = json!({
            "name": name, "translation": tidy(frame.at.array()), "rotation": turned(frame.yaw),
        });
        if let Some(extensions) = extensions {
            node["extensions"] = extensions;
        }
        self.node(node);
    }

    fn places(&mut self, site: &Site) {
        self.builder.uses("OMI_spawn_point");
        self.builder.uses("OMI_seat");
        for (at, frame) in site.spawns.iter().enumerate() {
            let spawn = json!({ "OMI_spawn_point": { "title": "Terrace" } });
            self.place(&format!("spawn_{}", at + 1), *frame, Some(spawn));
        }
        for (at, frame) in site.seats.iter().enumerate() {
            let seat = json!({ "OMI_seat": {
                "back": [0.0, 0.45, -0.18], "knee": [0.0, 0.45, 0.24], "foot": [0.0, 0.0, 0.28],
            } });
            self.place(&format!("seat_{}", at + 1), *frame, Some(seat));
        }
        for (at, frame) in site.portals.iter().enumerate() {
            self.place(&format!("portal_{}", at + 1), *frame, None);
        }
    }

    fn body(&mut self, name: &str, shape: Value, frame: Frame) {
        let number = self.shapes.iter().position(|known| *known == shape).unwrap_or_else(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        });
        let body = json!({ "OMI_physics_body": {
            "motion": { "type": "static" }, "collider": { "shape": number },
        } });
        self.place(name, frame, Some(body));
    }

    /// The ground holds people with the very triangles that are drawn.
    fn shape_of_drawn(&mut self, mesh: Index) {
        self.builder.uses("OMI_physics_body");
        let Some(drawn) = self.builder.get_mut("meshes", mesh) else { return };
        let (points, corners) = (
            drawn["primitives"][0]["attributes"]["POSITION"].clone(),
            drawn["primitives"][0]["indices"].clone(),
        );
        let primitive = json!({ "attributes": { "POSITION": points }, "indices": corners });
        let held =
            self.builder.add("meshes", json!({ "name": "ground_body", "primitives": [primitive] }));
        let shape = json!({ "type": "trimesh", "trimesh": { "mesh": held } });
        self.body("ground_body", shape, Frame::new(V3::default(), 0.0));
    }

    fn bodies(&mut self, site: &Site) {
        let floors = self.mesh("floors_body", &site.floors, Faces::Bare, None);
        let shape = json!({ "type": "trimesh", "trimesh": { "mesh": floors } });
        self.body("floors_body", shape, Frame::new(V3::default(), 0.0));
        for solid in &site.solids {
            match solid {
                Solid::Box(frame, size) => {
                    let shape = json!({ "type": "box", "box": { "size": tidy(size.array()) } });
                    self.body("wall_body", shape, *frame);
                }
                Solid::Cylinder(middle, radius, height) => {
                    let [radius, height] =
                        [radius, height].map(|number| tidy([*number])[0].clone());
                    let shape = json!({ "type": "cylinder", "cylinder": {
                        "radiusBottom": radius, "radiusTop": radius, "height": height,
                    } });
                    self.body("post_body", shape, Frame::new(*middle, 0.0));
                }
            }
        }
    }
}

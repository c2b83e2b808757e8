//! Stories: what people and operators live through with a node, told through its public doors.

mod accounts;
mod affairs;
mod bounds;
mod certificates;
mod connections;
mod crash;
mod damage;
mod disk;
mod ending;
mod files;
mod history;
mod hostile;
mod hostile_events;
mod hostile_limits;
mod hostile_media;
mod hostile_rooms;
mod hostile_routes;
mod hostile_wire;
mod making;
mod people;
mod pictures;
mod rooms;
mod serve;
mod stage;
mod sync;
mod talk;

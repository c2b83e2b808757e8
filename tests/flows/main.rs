//! Stories: what people and operators live through with a node, told through its public doors.

mod crash;
mod damage;
mod disk;
mod serve;
mod talk;

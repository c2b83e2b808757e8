//! Directories of other networks, which application services keep.

use ruma::RoomId;

use super::{super::Error, Rooms};
pub use crate::store::directory::Network;
use crate::store::{directory, rooms};

/// Most characters of the name of a network.
const NAME_BYTES: usize = 255;
/// Most rooms that a service lists.
const ROOMS: i64 = 100_000;

impl Rooms {
    /// Lists a room in the directory of one of a service's networks, or takes it off.
    pub async fn list_on_network(
        &self,
        service: &str,
        network: &str,
        room_id: &RoomId,
        listed: bool,
    ) -> Result<(), Error> {
        if network.is_empty() || network.len() > NAME_BYTES {
            return Err(Error::Invalid("the name of a network has 1 to 255 bytes".to_owned()));
        }
        let (service, network) = (service.to_owned(), network.to_owned());
        let room_id = room_id.to_owned();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room = rooms::room(tx, &room_id).await?;
                    let room =
                        room.ok_or_else(|| Error::NotFound("there is no such room".to_owned()))?;
                    if listed && directory::networked(tx, &service).await? >= ROOMS {
                        return Err(Error::TooLarge(format!("at most {ROOMS} rooms are listed")));
                    }
                    Ok(tx.list_on_network(&service, &network, room.room_no, listed).await?)
                })
            })
            .await
    }

    /// The directory that clients call by that id (client-server API, `third_party_instance_id`).
    #[must_use]
    pub fn network(&self, instance_id: &str) -> Network {
        let named = self.ground.app_services.all().iter().find_map(|service| {
            let network = instance_id.strip_prefix(&*service.id)?.strip_prefix('|')?;
            Some(Network::One { service: service.id.to_string(), network: network.to_owned() })
        });
        // One that nobody keeps is empty.
        named.unwrap_or_else(|| Network::One { service: String::new(), network: String::new() })
    }
}

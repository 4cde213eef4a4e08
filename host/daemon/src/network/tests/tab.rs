//! A tab of the owner over a carrier in memory: from the link to a call, and what it may do there.

use std::net::SocketAddr;

use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::{Abort, IdentityKeys, PairingLink};
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::method::{CreateLink, CreateSession, GetTrust, Identify, ListDevices, OpenPairing};
use lanyard_protocol::principal::Scope;
use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::join::{self, JoinError};
use lanyard_transport::noise::device;
use rand_core::OsRng;

use super::page::House;
use crate::principals::owner;

fn here() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000))
}

async fn link(house: &House) -> Secret {
    let made = house.host().network.desk().create_link(owner().unwrap(), None).await.unwrap();
    let link = PairingLink::from_fragment(made.link.split_once('#').unwrap().1).unwrap();
    Secret::Link(link.secret.clone(), link.host)
}

/// What a page does with its link.
async fn pair(house: &House, keys: &IdentityKeys, from: SocketAddr, secret: Secret) -> Result<(), JoinError> {
    let about = About { name: "Firefox".into(), platform: "linux".into(), scopes: vec![Scope::Observe] };
    let peer = device::pair(house.carrier_from(from), keys).await.unwrap();
    let mut waiting = join::join_over(peer, keys, &about, secret).await?;
    let grant = waiting.answer().await?;
    assert_eq!(grant.scopes, [Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin]);
    waiting.acknowledge().await
}

#[tokio::test]
async fn a_tab_is_the_owner_from_its_link_to_its_end() {
    let house = House::open().await;
    let keys = IdentityKeys::generate(&mut OsRng);
    pair(&house, &keys, here(), link(&house).await).await.unwrap();
    let mut page = house.page_of(&keys, here()).await;
    let who = page.call(Identify {}).await.unwrap().principal;
    assert!(who.local && who.id == owner().unwrap().id && who.name != owner().unwrap().name);
    let devices = page.call(ListDevices {}).await.unwrap().devices;
    assert_eq!(devices.iter().filter(|device| device.temporary && device.connections == 1).count(), 1);
    // What no device may do, whatever rights it holds.
    assert!(page.call(OpenPairing {}).await.unwrap().link.contains("#P"));
    page.call(CreateSession::default()).await.unwrap();
    assert!(page.call(GetTrust {}).await.unwrap().authority.is_none());
    let another = page.call(CreateLink { origin: None }).await.unwrap_err();
    assert_eq!(another.code, ErrorCode::Unauthorized);

    // Its key is worth nothing on another machine.
    let elsewhere = SocketAddr::from(([192, 0, 2, 7], 40_000));
    let mut thief = house.page_of(&keys, elsewhere).await;
    assert_eq!(thief.end().await, Ended::ByPeer(CloseCode::NotPaired));
    house.stop().await;
}

#[tokio::test]
async fn the_link_is_worth_nothing_on_another_machine() {
    let house = House::open().await;
    let secret = link(&house).await;
    let keys = IdentityKeys::generate(&mut OsRng);
    let elsewhere = SocketAddr::from(([192, 0, 2, 7], 40_000));
    let refused = pair(&house, &keys, elsewhere, secret.clone()).await.unwrap_err();
    assert!(matches!(refused, JoinError::Abort(Abort::Elsewhere)), "{refused}");
    let refused = pair(&house, &keys, here(), secret).await.unwrap_err();
    assert!(matches!(refused, JoinError::Abort(Abort::Used | Abort::NotOpen)), "{refused}");
    house.stop().await;
}

//! Who else holds an interface's XDP hook: asked over netlink, since the BPF syscall cannot say.

use aya::programs::loaded_programs;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp};

/// Id of the XDP program attached to an interface in whatever mode; `None` if there is none or it cannot be asked.
pub fn attached_program(ifindex: u32) -> Option<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().ok()?;
        let connection = tokio::spawn(connection);
        let link = handle.link().get().match_index(ifindex).execute().try_next().await.ok().flatten();
        connection.abort();
        link?.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Xdp(parts) => parts.iter().find_map(program_id),
            _ => None,
        })
    })
}

/// "program id 42 `name`", as far as it can be told.
pub fn describe(ifindex: u32) -> String {
    let Some(id) = attached_program(ifindex) else {
        return "its id could not be read".into();
    };
    let name = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty());
    match name {
        Some(name) => format!("program id {id} `{name}`"),
        None => format!("program id {id}, unnamed"),
    }
}

fn program_id(part: &LinkXdp) -> Option<u32> {
    match part {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id)
            if *id != 0 =>
        {
            Some(*id)
        }
        _ => None,
    }
}

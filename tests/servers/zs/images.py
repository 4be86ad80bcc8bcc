# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images that are made of volumes."""

from __future__ import annotations

from .errors import refused
from .jobs import Steps
from .routes import Call, handles
from .rows import inventory
from .state import Cloud, Row


def make_image(cloud: Cloud, name: str, size: int, media: str = "RootVolumeTemplate", **more: object) -> Row:
    return cloud.add(
        "Image",
        **{
            "name": name, "description": None, "state": "Enabled", "status": "Ready", "size": size, "actualSize": size,
            "mediaType": media, "type": "zstack", "platform": "Linux", "architecture": "x86_64", "system": False,
            "guestOsType": "Linux", "virtio": True, "format": "iso" if media == "ISO" else "qcow2", "md5Sum": None,
            "url": f"http://192.0.2.1/{name}", "backupStorageRefs": [], **more,
        },
    )  # fmt: skip


@handles("CreateRootVolumeTemplateFromRootVolume")
def template(call: Call) -> Steps:
    cloud, volume = call.cloud, call.row("Volume", "rootVolumeUuid")
    if volume["type"] != "Root":
        raise refused(f"volume[uuid:{volume['uuid']}] is not a root volume")
    yield None
    about = call.given("description", "guestOsType", "platform", "architecture", "system", "virtio")
    if call.params.get("resourceUuid"):
        about["uuid"] = call.params["resourceUuid"]
    return inventory(cloud, "Image", make_image(cloud, call.params["name"], volume["size"], **about))

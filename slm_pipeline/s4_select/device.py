"""Devices that a model must fit on: profiles as data, this machine as measured, numbers of one's own in the settings."""

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from slm_pipeline.settings import Settings
from slm_pipeline.yaml_rows import read_rows

DEVICES = Path(__file__).with_name("devices.yaml")
THIS = "this"


class DeviceError(ValueError):
    """There is no such device, or its description cannot be used; says what to do."""


class Device(BaseModel):
    """Memory that a model may take, and the rates at which it is read and computed with; devices.yaml explains each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    what: str = ""
    memory_gb: float = Field(gt=0)
    bandwidth_gb: float = Field(gt=0)
    cache_gb: float = Field(gt=0)
    matrix_gflops: float = Field(gt=0)
    attention_gflops: float = Field(gt=0)
    process_mb: float = Field(64, ge=0)
    call_ms: float = Field(0, ge=0, description="what every call costs besides")
    date: date
    source: str


def measured_file(settings: Settings) -> Path:
    """Where `slm device` keeps what it measured of this machine."""
    return settings.models / "this_device.json"


def load_devices(settings: Settings) -> list[Device]:
    """Every device: the shipped ones, those of `<home>/models/devices.yaml`, this machine if measured. Raises DeviceError."""
    files = [file for file in (DEVICES, settings.models / DEVICES.name) if file.exists()]
    devices = {device.name: device for file in files for device in read_rows(file, Device, DeviceError)}
    if measured_file(settings).exists():
        devices[THIS] = Device.model_validate_json(measured_file(settings).read_text())
    return list(devices.values())


def device_of(settings: Settings, name: str | None = None) -> Device:
    """The device of that name, else of `settings.device`, with the numbers that the settings replace. Raises DeviceError."""
    devices, name = {device.name: device for device in load_devices(settings)}, name or settings.device
    if name not in devices:
        hint = "; `slm device` measures this machine" if name == THIS else ""
        raise DeviceError(f"no device {name!r}; there are {', '.join(devices)}{hint}")
    own = {"memory_gb": settings.device_memory_gb, "bandwidth_gb": settings.device_bandwidth_gb, "matrix_gflops": settings.device_gflops}
    own = {key: value for key, value in own.items() if value is not None}
    return devices[name].model_copy(update={**own, "name": f"{name}, changed by settings"} if own else {})

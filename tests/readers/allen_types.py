"""The Allen Institute's own types of NWB objects, as published in the extensions that its files carry, made for pynwb."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pynwb
from pynwb.spec import NWBAttributeSpec, NWBDatasetSpec, NWBGroupSpec, NWBNamespaceBuilder


@functools.cache
def extension() -> dict[str, Any]:
    """The owner's types, as published in the extensions that its files carry."""

    def attribute(name: str, kind: str) -> NWBAttributeSpec:
        return NWBAttributeSpec(name=name, dtype=kind, doc=name, required=False)

    def column(name: str) -> NWBDatasetSpec:
        return NWBDatasetSpec(name=name, dtype="float", shape=(None,), doc=name)

    def positions(name: str) -> NWBDatasetSpec:
        return NWBDatasetSpec(name=name, dtype="float32", shape=(None,), doc=name, attributes=[attribute("unit", "text")])

    def group(name: str, base: str, **more: Any) -> NWBGroupSpec:
        return NWBGroupSpec(neurodata_type_def=name, neurodata_type_inc=base, doc=name, **more)

    def part(name: str, kind: str) -> NWBGroupSpec:
        return NWBGroupSpec(name=name, neurodata_type_inc=kind, doc=name)

    ecephys = [
        group("EcephysProbe", "Device", attributes=[attribute("sampling_rate", "float64"), attribute("probe_id", "int")]),
        group(
            "EcephysElectrodeGroup",
            "ElectrodeGroup",
            attributes=[attribute("has_lfp_data", "bool"), attribute("probe_id", "int"), attribute("lfp_sampling_rate", "float64")],
        ),
        group("EcephysSpecimen", "Subject", attributes=[attribute("specimen_name", "text"), attribute("age_in_days", "float")]),
        group(
            "EcephysCSD",
            "NWBDataInterface",
            datasets=[positions("virtual_electrode_x_positions"), positions("virtual_electrode_y_positions")],
            groups=[NWBGroupSpec(neurodata_type_inc="TimeSeries", doc="the density")],
        ),
    ]
    eye = [
        group("EllipseSeries", "SpatialSeries", datasets=[column(n) for n in ("area", "area_raw", "width", "height", "angle")]),
        group(
            "EllipseEyeTracking",
            "EyeTracking",
            default_name="EyeTracking",
            groups=[*(part(n, "EllipseSeries") for n in ("eye_tracking", "pupil_tracking", "corneal_reflection_tracking")), part("likely_blink", "TimeSeries")],
        ),
    ]
    places = [f"{thing}_{what}" for thing in ("monitor", "camera") for what in ("position", "rotation")]
    ecephys.append(
        group("EcephysEyeTrackingRigMetadata", "NWBDataInterface", attributes=[attribute("equipment", "text")], datasets=list(map(positions, places)))
    )
    found = {}
    for name, specs in (("ndx-aibs-ecephys", ecephys), ("ndx-ellipse-eye-tracking", eye)):
        folder = tempfile.mkdtemp()
        builder = NWBNamespaceBuilder(doc=name, name=name, version="0.2.0", author="made", contact="made")
        builder.include_namespace("core")
        for spec in specs:
            builder.add_spec(f"{name}.extension.yaml", spec)
        builder.export(f"{name}.namespace.yaml", outdir=folder)
        pynwb.load_namespaces(str(Path(folder) / f"{name}.namespace.yaml"))
        found |= {spec["neurodata_type_def"]: pynwb.get_class(spec["neurodata_type_def"], name) for spec in specs}
    return found

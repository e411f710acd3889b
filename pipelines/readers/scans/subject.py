"""Reads a scan and its fit, and looks at it from all sides."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import RawDataError
from ...bodies.fitted import ScanFrame, check_fit, parameters, posed, scan_frame
from ...bodies.model import BodyModel, load_model, model_path
from ...bodies.model_files import Kind
from ...bodies.noise import noisy
from ...labels.body_parts import canonical_colours, face_vertices, vertex_parts
from ...labels.scan_camera import scan_camera
from ...labels.subject import Bodies, Subject, SubjectView
from ...labels.texture import Paint
from ...rawfiles import RawFiles
from ...recipe import Reject, Sample, Unit
from .fit import BodyFit
from .fit_files import read_fit
from .materials import NO_TEXTURE
from .mesh import ScanMesh
from .meshes import read_mesh
from .shared_body import shared_model
from .unit import ScanUnit
from .views import ScanOptions, models_folder

Floats = NDArray[np.float64]


def read_subject(unit: Unit, files: RawFiles, options: ScanOptions, kind: Kind) -> Iterator[Sample | Reject]:
    """The subject, then its views.

    Args:
        unit: of `with_views`.
        files: its raw files.
        options: the recipe's.
        kind: of its body model, `smplx` or `smpl`.

    Raises:
        FormatError, RawDataError: the scan or its fit is damaged, or they do not go together.
        FileNotFoundError: the scan, its fit or its texture is not there.
        UsageError: the fit is of a body model that is not there.
    """
    scan = ScanUnit.of(replace(unit, payload=unit.payload["scan"]))
    subject = load_subject(unit, scan, files, options, kind)
    for key in unit.summaries:
        yield Sample(key, subject, "subjects", {"body_model": subject.body_model})
    for key, place in unit.records.items():
        camera = scan_camera(place["yaw"], subject.height, options.size, place["pitch"], options.camera)
        view = SubjectView(key, subject, camera)
        yield Sample(key, view, "views", {"subject": unit.name, "body_model": subject.body_model, **place})


def load_subject(unit: Unit, scan: ScanUnit, files: RawFiles, options: ScanOptions, kind: Kind) -> Subject:
    """The scan in its world frame, with the bodies that go with it."""
    mesh = used_vertices(read_mesh(files, scan.scan, scan.texture))
    lost = [note for note in mesh.notes if note.endswith(NO_TEXTURE)]
    if lost and options.untextured == "reject":
        raise RawDataError(f"{lost[0]}; --untextured grey keeps such scans, in grey")
    fit = read_fit(files, scan.fit, scan.fit_kind, scan.gender) if scan.fit and scan.fit_kind else None
    with files.stages("place"):
        metres = _metres(mesh, scan, fit, options)
        if fit is None:
            return _subject(unit, mesh, scan_frame(mesh.vertices, metres))
        folder = models_folder(files.raw, options)
        model, shared = load_model(model_path(folder, fit.gender, kind)), shared_model(folder, kind)
        if shared is None or not np.array_equal(shared.faces, model.faces):
            raise RawDataError(f"the body models in {folder.name} do not have the same faces")
        given = parameters(fit, model)
        pelvis = posed(model, given, fit.scale, fit.translation)[1][0]
        frame = scan_frame(mesh.vertices, metres, pelvis)
        subject = _subject(unit, mesh, frame)
        subject.bodies = _bodies(subject, frame, fit, model, given, canonical_colours(shared.template), options)
    return subject


def _metres(mesh: ScanMesh, scan: ScanUnit, fit: BodyFit | None, options: ScanOptions) -> float:
    """Metres of a raw unit."""
    if options.normalise == "height":
        return options.height / max(float(np.ptp(mesh.vertices[:, 1])), 1e-12)
    if fit is not None:
        return 1 / fit.scale
    if scan.units_per_metre is None:
        raise RawDataError(
            f"{scan.scan}: how large a unit is is not known, for there is no fit; say it by --units-per-metre where "
            "the recipe has it, or give all people one height by --normalise height"
        )
    return 1 / scan.units_per_metre


def _subject(unit: Unit, mesh: ScanMesh, frame: ScanFrame) -> Subject:
    paint = Paint(mesh.faces, mesh.uv, mesh.face_uv, mesh.texture, mesh.colours)
    return Subject(
        name=unit.name, seed=unit.seed, vertices=frame.to_world(mesh.vertices), faces=mesh.faces, paint=paint,
        height=frame.height, scan_scale=frame.scan_scale, world_from_scan=frame.world_from_scan, notes=mesh.notes,
    )  # fmt: skip


def used_vertices(mesh: ScanMesh) -> ScanMesh:
    """The mesh without vertices that no face has, which would count for its height."""
    used, numbers = np.unique(mesh.faces, return_inverse=True)
    if len(used) == len(mesh.vertices):
        return mesh
    colours = None if mesh.colours is None else mesh.colours[used]
    faces: NDArray[np.int32] = numbers.reshape(-1, 3).astype(np.int32)
    return replace(mesh, vertices=mesh.vertices[used], faces=faces, colours=colours)


def _bodies(
    subject: Subject, frame: ScanFrame, fit: BodyFit, model: BodyModel, exact: Mapping[str, Floats], canonical: Floats,
    options: ScanOptions,
) -> Bodies:  # fmt: skip
    """The fit, whose parameters are `exact`, and its noise variants in the world frame.

    Raises:
        RawDataError: the fit lies off its scan.
    """
    each = [exact]
    for number in range(1, options.variants + 1):
        each.append(noisy(exact, subject.rng(f"noise {number}"), options.noise_pose, options.noise_shape))
    scale, translation = frame.placed(fit)
    made = [posed(model, one, scale, translation) for one in each]
    distance, outside = check_fit(subject.scan.surface, made[0][0])
    reference_scale, reference_translation = frame.placed_by_references(fit)
    parts = vertex_parts(model.weights)
    return Bodies(
        kind=model.kind, gender=fit.gender, stand_in=model.stand_in or "", faces=model.faces, parts=parts,
        face_vertices=face_vertices(model.template, parts, model.landmarks),
        canonical=canonical,
        parameters={name: np.stack([one[name] for one in each]) for name in exact},
        scale=scale, translation=translation,
        reference_scale=reference_scale, reference_translation=reference_translation,
        vertices=np.stack([vertices for vertices, _ in made]).astype(np.float32),
        joints=np.stack([joints for _, joints in made]).astype(np.float32), distance=distance,
        outside=outside,
    )  # fmt: skip

"""A scanned person while labels are made: what several labels need is computed once, when the first one asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...datasets.errors import FormatError
from ...datasets.surface.surface import Surface
from ..keyed import keyed_rng
from . import scan_light
from .body_parts import face_regions
from .body_points import BodyPoints, body_points, body_surface
from .mesh_raster import Seen
from .mesh_view import MeshView
from .scan_camera import HALF_UNITS, REFERENCE_UNITS, ScanCamera
from .scan_picture import Samples, samples
from .scan_pool import Pool, scan_pool
from .texture import Paint

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bodies:
    """The body that was fitted to a scan, and its noise variants, in the scan's world frame.

    Attributes:
        kind: `smplx` or `smpl`.
        gender: of the model.
        stand_in: what the model is made of where it is a stand-in; empty for the real one.
        faces: (F, 3) int32.
        parts: (V,) uint8 number of each vertex's part in `body_parts.PARTS`.
        face_vertices: (V,) bool vertices of the face proper.
        canonical: (V, 3) colours: the vertices at rest, each axis from 0 to 1.
        parameters: of each body, (B, n) by name; radians, metres of the model.
        scale: of the model, to metres of the world.
        translation: (3,) of the model, metres, after the scale.
        reference_scale: to the references' units, in which the scan is 180 tall.
        reference_translation: (3,) likewise.
        vertices: (B, V, 3) float32 metres; body 0 is the fit. Labels are computed of these, as rounded.
        joints: (B, J, 3) float32 metres.
        distance: mean distance of the fit's vertices to the scan, metres.
        outside: share of the fit's vertices more than 2 cm outside the scan.
    """

    kind: str
    gender: str
    stand_in: str
    faces: NDArray[np.int32]
    parts: NDArray[np.uint8]
    face_vertices: NDArray[np.bool_]
    canonical: Floats
    parameters: Mapping[str, Floats]
    scale: float
    translation: Floats
    reference_scale: float
    reference_translation: Floats
    vertices: NDArray[np.float32]
    joints: NDArray[np.float32]
    distance: float
    outside: float


@dataclass(eq=False)
class Subject:
    """One scan with its fit.

    Attributes:
        name: of the unit.
        seed: of the unit's keyed choices.
        vertices: (V, 3) float64 metres, world frame: y up, origin over the pelvis at half the height.
        faces: (F, 3) int32.
        paint: colours.
        height: metres from the lowest point to the highest.
        scan_scale: 1.8 / the height in raw units.
        world_from_scan: (4, 4) from raw units.
        bodies: the fit and its noise variants; None where the scan has no fit.
        notes: what the scan's files lack, or what was not read of them.
    """

    name: str
    seed: int
    vertices: Floats
    faces: NDArray[np.int32]
    paint: Paint
    height: float
    scan_scale: float
    world_from_scan: Floats
    bodies: Bodies | None = None
    notes: tuple[str, ...] = ()

    def rng(self, *names: str) -> np.random.Generator:
        """Generator of one purpose, of this subject's alone."""
        return keyed_rng(self.seed, self.name, *names)

    @property
    def body_model(self) -> str:
        """What the body labels were made with; a stand-in says so, an empty text is no body at all."""
        return "" if self.bodies is None else self.bodies.stand_in or self.bodies.kind

    @cached_property
    def scan(self) -> MeshView:
        """The scan as it is looked at and asked."""
        return MeshView(Surface(self.vertices, self.faces))

    @cached_property
    def half_side(self) -> float:
        """Metres from the origin to the sides of the references' cube, which the uniform points fill."""
        return HALF_UNITS / REFERENCE_UNITS * self.height

    @cached_property
    def pool(self) -> Pool:
        """The points."""
        return scan_pool(self.scan.surface, self.half_side, self.rng("points"), self.regions)

    @cached_property
    def regions(self) -> NDArray[np.uint8] | None:
        """(F,) number of each face's region in `scan_pool.REGIONS`, by the nearest vertex of the fit; None without."""
        if self.bodies is None:
            return None
        middles = self.vertices[self.faces].mean(1)
        nearest = cKDTree(self.bodies.vertices[0]).query(middles)[1]
        return face_regions(self.bodies.parts, self.bodies.face_vertices)[nearest]

    @cached_property
    def texels(self) -> float:
        """Pixels of the texture to a metre of the scan."""
        return self.paint.texels_per_metre(self.vertices)

    @cached_property
    def transfer(self) -> NDArray[np.float32]:
        """(V, 9) what each vertex of the scan sends on of light (`scan_light`)."""
        return scan_light.transfer(self.scan.vertices, self.scan.normals, self.scan.rays)

    @cached_property
    def body_views(self) -> list[MeshView]:
        """The bodies as they are looked at and asked; empty without a fit."""
        if self.bodies is None:
            return []
        return [MeshView(body_surface(each, self.bodies.faces)) for each in self.bodies.vertices]

    def body_points(self, points: NDArray[np.float32], count: int | None = None) -> BodyPoints:
        """What the first `count` bodies (all) say of points (n, 3).

        Raises:
            FormatError: the scan has no fit.
        """
        if not self.body_views:
            raise FormatError("the scan has no fit")
        return body_points([view.surface for view in self.body_views[:count]], points.astype(np.float64))


@dataclass(eq=False)
class SubjectView:
    """One camera's look at a subject.

    Attributes:
        key: of the record.
        subject: whom it looks at.
        camera: the camera.
    """

    key: str
    subject: Subject
    camera: ScanCamera

    @cached_property
    def scan(self) -> tuple[Seen, Seen]:
        """The scan's front and back."""
        return self.subject.scan.rays.front_and_back(self.camera)

    @cached_property
    def samples(self) -> Samples:
        """What the picture is made of."""
        subject = self.subject
        return samples(subject.scan, subject.paint, subject.texels, subject.transfer, self.camera)

    @cached_property
    def light(self) -> tuple[int, NDArray[np.float64]]:
        """Seed and numbers of the view's own light."""
        return self.light_of(0)

    def light_of(self, number: int) -> tuple[int, NDArray[np.float64]]:
        """Seed and numbers (9, 3) of one of the view's lights; 0 is its own."""
        seed = int(self.subject.rng(self.key, f"light {number}").integers(1 << 53))
        return seed, scan_light.random_light(np.random.default_rng(seed))

    @cached_property
    def picture(self) -> NDArray[np.uint8]:
        """(size, size, 3) the picture under the view's own light."""
        return self.samples.under(self.light[1])

    @cached_property
    def bodies(self) -> list[tuple[Seen, Seen]]:
        """Front and back of each body."""
        return [view.rays.front_and_back(self.camera) for view in self.subject.body_views]

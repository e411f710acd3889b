"""The labels of a scanned subject: what does not depend on the view."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...datasets.body_params import join_params
from ...datasets.schema import Column, Field
from ...datasets.storage import Octahedral
from ...datasets.surface.mesh_nearest import nearest
from ..recipe import Label
from . import body_parts, body_points, body_visible, body_volume, scan_pool, texture
from .subject import Subject

Made = Mapping[str, Any]
PLACE, UNIT = scan_pool.STORAGE, Octahedral(14)
SURFACE_SAMPLES, GRID = 100_000, body_volume.SIDE
GEOMETRY = 1  # raised whenever distances, signs or closest places change
BODY = 1 + body_parts.VERSION


def frame(subject: Subject, options: Any) -> Made:
    """The world frame, and what the scan is like."""
    report, bodies = subject.scan.surface.report, subject.bodies
    return {
        "world_from_scan": subject.world_from_scan, "scan_scale": np.float64(subject.scan_scale),
        "cube_half_side": np.float64(subject.half_side), "notes": "; ".join(subject.notes),
        "outside_cube": float((np.abs(subject.vertices) > subject.half_side).any(1).mean()),
        "body_outside": bodies.outside if bodies else None,
        "height": np.float64(subject.height),
        "faces": report.faces, "open_edges": report.open_edges, "crossing_faces": report.crossing_faces,
        "turned_faces": report.turned_faces, "parts": report.parts, "sdf_method": report.method,
        "crowded_edges": report.crowded_edges, "flat_faces": report.flat_faces, "nested": report.nested,
        "gender": bodies.gender if bodies else "",
        "fit_distance": bodies.distance if bodies else None,
    }  # fmt: skip


def points(subject: Subject, options: Any) -> Made:
    """The pool, and how sure its signs are."""
    pool = subject.pool
    return {"points": pool.points, "sdf": pool.sdf, "points_strata": pool.strata, "sdf_doubt": pool.doubt}


def surface(subject: Subject, options: Any) -> Made:
    """Normals and colours of the scan where it is closest to each point."""
    pool = subject.pool
    colours = subject.paint.at(pool.face, pool.bary)
    return {"surface_normal": subject.scan.normals_at(pool.face, pool.bary),
            "surface_rgb": np.rint(colours).astype(np.uint8)}  # fmt: skip


def body(subject: Subject, options: Any) -> Made:
    """The fit and its noise variants: parameters, vertices, joints, normals."""
    bodies = subject.bodies
    if bodies is None:
        return {}
    return {
        "body_params": join_params(bodies.kind, bodies.parameters), "body_vertices": bodies.vertices,
        "body_normals": np.stack([view.normals for view in subject.body_views]).astype(np.float32),
        "joints": bodies.joints, "body_scale": np.float64(bodies.scale), "body_translation": bodies.translation,
        "body_scale_180": np.float64(bodies.reference_scale), "body_translation_180": bodies.reference_translation,
    }  # fmt: skip


def body_of_points(subject: Subject, options: Any) -> Made:
    """Where each body is closest to each point, and how far."""
    if subject.bodies is None:
        return {}
    found = subject.body_points(subject.pool.points)
    return {"body_face": found.face, "body_bary": found.bary, "body_sdf": found.sdf}


def scan_surface(subject: Subject, options: Any) -> Made:
    """Places all over the scan to evaluate against."""
    rng = subject.rng("scan_surface")
    drawn = scan_pool.surface_samples(subject.scan.surface, SURFACE_SAMPLES, rng)[0]
    places = PLACE.unpack(PLACE.pack(drawn), np.dtype(np.float32))
    found = nearest(subject.scan.surface.tree, places)
    return {"scan_surface": places, "scan_surface_normal": subject.scan.normals_at(found.face, found.bary),
            "scan_surface_rgb": np.rint(subject.paint.at(found.face, found.bary)).astype(np.uint8)}  # fmt: skip


def grid(subject: Subject, options: Any) -> Made:
    """Signed distances on a lattice, of the scan and of the fit."""
    places = body_volume.grid_points(subject.half_side, GRID).astype(np.float32)
    shape = (GRID, GRID, GRID)
    distance = subject.scan.surface.signed_distance(places).distance
    made: dict[str, Any] = {"grid": distance.astype(np.float16).reshape(shape)}
    if subject.bodies is not None:
        found = subject.body_points(places, 1)
        made |= {"grid_body_face": found.face.reshape(shape), "grid_body_bary": found.bary.reshape(*shape, 3),
                 "grid_body_sdf": found.sdf.reshape(shape)}  # fmt: skip
    return made


def voxels(subject: Subject, options: Any) -> Made:
    """Volumes of canonical colours inside each body."""
    if subject.bodies is None:
        return {}
    canonical, half = subject.bodies.canonical, subject.half_side
    return {"body_volume": np.stack([
        body_volume.body_volume(view.surface, canonical, half) for view in subject.body_views
    ])}  # fmt: skip


CUBE3 = ("grid", "grid", "grid")
SUBJECT_LABELS = (
    Label("frame", 1, frame, (
        Field("world_from_scan", "float64", (4, 4), "npz", "metre", "world", "from raw scan units; world is y up, its "
              "origin over the pelvis (no fit: median) at half the scan's height"),
        Field("scan_scale", "float64", (), "npz", "1 / raw unit", meaning="1.8 / height in raw units, by which PIFu "
              "and ICON scale every scan to 180 of their units"),
        Field("height", "float64", (), "npz", "metre", "world", "of the scan, lowest to highest point"),
        Field("cube_half_side", "float64", (), "npz", "metre", "world", "from the origin to the sides of the cube that "
              "uniform points, `grid` and `body_volume` fill: 1.024 / 1.8 of the height, as the references' pictures"),
    ), (Column("faces", "int64", "faces of the scan"), Column("open_edges", "int64", "edges of the scan with an open "
        "side"), Column("crossing_faces", "int64", "faces of the scan that cross others"),
        Column("turned_faces", "int64", "faces that looked the wrong way"), Column("parts", "int64", "connected parts"),
        Column("crowded_edges", "int64", "edges of more than two faces"), Column("flat_faces", "int64", "without area"),
        Column("nested", "bool", "a part lies inside another, or behind a hole"),
        Column("sdf_method", "string", "how signs are told: pseudonormal, winding (where a mesh is not clean)"),
        Column("gender", "string", "of the body model"), Column("notes", "string", "what the scan's files lack"),
        Column("outside_cube", "float64", "share of the scan's vertices outside the cube, and so beyond the pictures"),
        Column("body_outside", "float64", "share of the fit's vertices more than 2 cm outside the scan"),
        Column("fit_distance", "float64", "metres, mean over the fit's vertices to the scan"))),
    Label("points", scan_pool.VERSION + GEOMETRY, points, (
        Field("points", "float32", ("points", 3), "npy", "metre", "world", "pool in strata, random within each", PLACE),
        Field("sdf", "float16", ("points",), "npy", "metre", "world", "signed distance to the scan, negative inside"),
        Field("points_strata", "int32", (len(scan_pool.STRATA) + 1,), "npz", meaning="first point of each stratum, and "
              "the end", options={"strata": list(scan_pool.STRATA)}),
    ), (Column("sdf_doubt", "float64", "share of points whose winding number is nearer to 1/2 than to a whole one"),)),
    Label("surface", texture.VERSION + body_visible.VERSION + GEOMETRY, surface, (
        Field("surface_normal", "float32", ("points", 3), "npy", "unit vector", "world", "of the scan's closest place, "
              "between those of the vertices", UNIT),
        Field("surface_rgb", "uint8", ("points", 3), "npy", "sRGB", meaning="colour of the scan's closest place"),
    )),
    Label("body", BODY, body, (
        Field("body_params", "float64", ("bodies", "params"), "npz", "radian, metre of the model", meaning="of the fit "
              "and each noise variant; datasets/body_params.py takes them apart", optional=True),
        Field("body_vertices", "float32", ("bodies", "vertices", 3), "npy", "metre", "world", "posed body: model x "
              "body_scale + body_translation", optional=True),
        Field("body_normals", "float32", ("bodies", "vertices", 3), "npy", "unit vector", "world", "of the vertices, "
              "weighted by angles", UNIT, optional=True),
        Field("joints", "float32", ("bodies", "joints", 3), "npz", "metre", "world", "joints of the body model",
              optional=True),
        Field("body_scale", "float64", (), "npz", meaning="of the model, to metres of the world", optional=True),
        Field("body_translation", "float64", (3,), "npz", "metre", "world", "after the scale", optional=True),
        Field("body_scale_180", "float64", (), "npz", meaning="of the model, to the references' units: the scan is 180 "
              "of them tall", optional=True),
        Field("body_translation_180", "float64", (3,), "npz", "reference unit", meaning="after that scale",
              optional=True),
    )),
    Label("body_points", body_points.VERSION + BODY + scan_pool.VERSION + GEOMETRY, body_of_points, (
        Field("body_face", "uint16", ("points", "bodies"), "npy", meaning="closest face of the fit and each noise "
              "variant, in `faces` of assets/body.npz", optional=True),
        Field("body_bary", "float32", ("points", "bodies", 3), "npy", meaning="barycentric coordinates of the closest "
              "place in it", storage=body_points.STORAGE, optional=True),
        Field("body_sdf", "float16", ("points", "bodies"), "npy", "metre", "world", "signed distance to each body, "
              "negative inside", optional=True),
    )),
    Label("scan_surface", body_visible.VERSION + texture.VERSION + GEOMETRY, scan_surface, (
        Field("scan_surface", "float32", ("surface", 3), "npy", "metre", "world", "drawn evenly from the scan's area",
              PLACE),
        Field("scan_surface_normal", "float32", ("surface", 3), "npy", "unit vector", "world", "of the scan's closest "
              "place", UNIT),
        Field("scan_surface_rgb", "uint8", ("surface", 3), "npy", "sRGB", meaning="colour of that place"),
    )),
    Label("grid", 1 + GEOMETRY, grid, (
        Field("grid", "float16", CUBE3, "blosc", "metre", "world", "signed distance to the scan at the centres of the "
              "cells of the cube (`cube_half_side`); axes x, y, z of the world, z fastest"),
        Field("grid_body_face", "uint16", CUBE3, "blosc", meaning="closest face of the fit", optional=True),
        Field("grid_body_bary", "float32", (*CUBE3, 3), "blosc", meaning="where in it", storage=body_points.STORAGE,
              optional=True),
        Field("grid_body_sdf", "float16", CUBE3, "blosc", "metre", "world", "signed distance to the fit",
              optional=True),
    ), default=False),
    Label("voxels", body_volume.VERSION + BODY + GEOMETRY, voxels, (
        Field("body_volume", "uint8", ("bodies", *CUBE3, 3), "blosc", "", "world", "canonical colours inside each "
              "body, 1 to 255 for 0 to 1, 0 empty: PaMIR's semantic volume; cells of the cube (`cube_half_side`), axes "
              "x, y (up), z of the world", optional=True),
    ), default=False),
)  # fmt: skip

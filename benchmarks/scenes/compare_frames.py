"""What is made for each frame beside the plain way, each stage timed alone, with how far the results agree."""

from collections.abc import Callable

import numpy as np

from ...datasets.octree import unpack, unpack_bits
from ...datasets.visibility import unpack_visibility
from ...pipelines.keyed import keyed_rng
from ...pipelines.labels import covisibility, octree_seen, probes, queries, scene_sdf, visibility
from ...pipelines.labels.octree import build_octree
from ...pipelines.labels.scene import frame_points
from . import plain
from .fused import Fused
from .race import Row, race


def seen(fused: Fused, some: int, repeats: int) -> Row:
    """What 4 neighbours see of a frame."""
    views = fused.scene.views
    asked = [(views[i], [views[j] for j in fused.scene.neighbours[i]]) for i in range(min(some, len(views)))]

    def agree(a: list, b: list) -> str:
        same = [np.mean(unpack_visibility(x, len(y)) == y) for (x, _), (y, _) in zip(a, b, strict=True)]
        share = max(np.abs(x - y).max() for (_, x), (_, y) in zip(a, b, strict=True))
        return f"{np.mean(same):.4%} of the states; covisibility {share:.0e} at most"

    return race(
        "visibility in 4 neighbours", len(asked), repeats,
        lambda: [covisibility.frame_visibility(*each) for each in asked],
        lambda: [plain.visibility(*each, visibility.TAU) for each in asked], agree,
    )  # fmt: skip


def distances(fused: Fused, some: int, repeats: int) -> Row:
    """Distance of query points, with the tree's share of a frame."""
    scene = fused.scene
    assert scene.surfels is not None and scene.grid is not None and scene.cubes is not None
    surface, grid, depth = scene.surfels, scene.grid, scene.parts.depth
    points = []
    for number in range(min(some, len(scene.views))):
        rng, cube = keyed_rng(0, "bench", str(number)), scene.cubes[number]
        drawn, _ = queries.sample_points(surface, cube, grid.cube_states(cube, depth), rng)
        points.append(queries.world_points(drawn, cube))
    tree, trees = scene_sdf.SurfaceIndex(surface), plain.PlainIndex(surface)

    def agree(a: list, b: list) -> str:
        same = np.mean([np.mean((x[0] == y[0]) & (x[1] == y[1])) for x, y in zip(a, b, strict=True)])
        apart = max(np.abs(x[0] - y[0]).max() for x, y in zip(a, b, strict=True))
        return f"{same:.3%} equal with their validity; {apart:.0e} m at most"

    return race(
        "distance of query points", len(points), repeats,
        lambda: [scene_sdf.signed_distance(each, tree, grid) for each in points],
        lambda: [plain.signed_distance(each, trees, grid) for each in points], agree,
    )  # fmt: skip


def light(fused: Fused, some: int, repeats: int) -> Row:
    """Environment maps of a frame's probes, at the same places and with the same colours."""
    scene, lights = fused.scene, fused.scene.lights
    assert scene.grid is not None and lights is not None and scene.cubes is not None
    asked = []
    for number, given in enumerate(fused.given[:some]):
        rng, cube = keyed_rng(0, "bench", str(number)), scene.cubes[number]
        place = probes.place_probes(given.view, scene.grid, scene.parts.voxel, scene.probe_scene, cube, rng)
        own = frame_points(given.view, given.normals)
        colours = given.hdr.reshape(-1, 3)[own.pixels].astype(np.float32)
        if place is not None:
            others = probes.from_others(lights, own.points, own.normals, own.weights, colours)
            asked.append((place, *others))

    def agree(a: list, b: list) -> str:
        ours, theirs = np.concatenate([x.radiance for x in a]).astype(float), np.concatenate(b)
        known, splatted = np.concatenate([x.mask for x in a]) > 0, np.isfinite(theirs[..., 0])
        both = known & splatted
        off = np.abs(ours - theirs)[both].mean(axis=-1) / (ours[both].mean(axis=-1) + 1e-3)
        return f"{np.mean(known == splatted):.0%} of the masks; radiance {np.median(off):.0%} apart (median)"

    height, width = 16, 32
    return race(
        "light of 8 probes", max(len(asked), 1), repeats,
        lambda: [scene.probe_scene.light(*each, height, width) for each in asked],
        lambda: [plain.probes(lights, place, colour, lit, height, width) for place, colour, lit in asked], agree,
    )  # fmt: skip


def supervision(fused: Fused, some: int, repeats: int) -> Row:
    """Observed and occupied nodes of a frame's octree."""
    scene, depth, full_depth = fused.scene, fused.scene.parts.depth, 4
    assert scene.grid is not None and scene.cubes is not None and scene.surfels is not None
    grid, surface = scene.grid, scene.surfels
    asked = []
    for frame, cube in list(zip(fused.frames, scene.cubes, strict=True))[:some]:
        asked.append((build_octree(frame.points, None, None, cube, depth, full_depth).split, cube))

    def ours() -> list:
        made = []
        for split, cube in asked:
            occupied = octree_seen.leaf_keys(scene.occupied, cube, depth)
            states = grid.cube_states(cube, depth)
            made.append(octree_seen.octree_supervision(split, depth, full_depth, states, occupied))
        return made

    def agree(a: list, b: list) -> str:
        same = []
        for (split, _), bits, maps in zip(asked, a, b, strict=True):
            tree = unpack(split, depth, full_depth)
            for packed, nodes in zip(bits, maps, strict=True):
                same += [np.mean(values == nodes[d]) for d, values in unpack_bits(packed, tree).items()]
        return f"{np.mean(same):.3%} of the bits"

    def first() -> list:
        return [plain.octree(split, cube, depth, full_depth, grid, surface) for split, cube in asked]

    return race("octree supervision", len(asked), repeats, ours, first, agree)


STAGES: tuple[Callable[[Fused, int, int], Row], ...] = (seen, distances, light, supervision)

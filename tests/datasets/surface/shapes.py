"""Meshes whose distances are known without them, and a slow, plain oracle for all others."""

import numpy as np
import trimesh


def sphere(radius=1.0, centre=(0, 0, 0), subdivisions=3):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return mesh.vertices + np.array(centre), mesh.faces


def box(sides=(1.0, 2.0, 3.0)):
    mesh = trimesh.creation.box(sides)
    return mesh.vertices, mesh.faces


def box_distance(points, sides=(1.0, 2.0, 3.0)):
    away = np.abs(points) - np.array(sides) / 2
    return np.linalg.norm(np.maximum(away, 0), axis=1) + np.minimum(away.max(1), 0)


def torus(major=1.0, minor=0.3, sections=48):
    mesh = trimesh.creation.torus(major, minor, sections, sections)
    return mesh.vertices, mesh.faces


def joined(*meshes):
    vertices, faces, count = [], [], 0
    for v, f in meshes:
        vertices.append(v)
        faces.append(np.asarray(f) + count)
        count += len(v)
    return np.concatenate(vertices), np.concatenate(faces)


def turned(mesh, which=slice(None)):
    """The mesh with some of its faces turned round."""
    faces = np.array(mesh[1])
    faces[which] = faces[which][:, ::-1]
    return mesh[0], faces


def unwelded(mesh):
    """Every face with vertices of its own, as at the seams of a texture."""
    return mesh[0][mesh[1]].reshape(-1, 3), np.arange(3 * len(mesh[1])).reshape(-1, 3)


def segment_distance(points, a, b):
    along = ((points - a) * (b - a)).sum(-1) / np.maximum(((b - a) ** 2).sum(-1), 1e-300)
    return np.linalg.norm(points - a - np.clip(along, 0, 1)[..., None] * (b - a), axis=-1)


def brute_distances(points, mesh):
    """(n, F) float64 distances to all triangles: to their planes where points lie above them, to their edges else."""
    a, b, c = (mesh[0][np.asarray(mesh[1])[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(length, 1e-300)[:, None]
    p = points[:, None]
    above = np.ones((len(points), len(a)), bool)
    for begin, end in ((a, b), (b, c), (c, a)):
        above &= (np.cross(unit, end - begin) * (p - begin)).sum(-1) >= 0
    plane = np.abs((unit * (p - a)).sum(-1))
    edges = np.minimum.reduce([segment_distance(p, *ends) for ends in ((a, b), (b, c), (c, a))])
    return np.where(above & (length > 0), np.minimum(plane, edges), edges)


def brute_winding(points, mesh):
    """(n,) winding numbers: solid angles of all triangles, from the angles at the corners of spherical triangles."""
    out = np.zeros(len(points))
    for face in np.asarray(mesh[1]):
        rays = mesh[0][face][None] - points[:, None]
        a, b, c = (rays[:, i] / np.linalg.norm(rays[:, i], axis=1, keepdims=True) for i in range(3))
        sides = [np.arccos(np.clip((u * v).sum(1), -1, 1)) for u, v in ((b, c), (c, a), (a, b))]
        half = sum(sides) / 2  # L'Huilier's theorem
        product = np.tan(half / 2)
        for side in sides:
            product = product * np.tan(np.maximum((half - side) / 2, 0))
        angle = 4 * np.arctan(np.sqrt(np.maximum(product, 0)))
        out += np.sign(np.einsum("ni,ni->n", a, np.cross(b, c))) * angle
    return out / (4 * np.pi)

"""The renderer: a z-buffer at twice the resolution, shading per sample, all in numba kernels.

Image arrays are [height, width, ...]; pixel (0, 0) is the centre of the top-left pixel. The z-buffer has SAMPLES x
SAMPLES samples per pixel, which antialiases edges; samples outside the people keep the background's pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from data_processing.synthetic import appearance as ap

SAMPLES = 2
NOBODY = 255
FAR = np.float32(1e9)

# Appearance's constants as module globals of plain integers, which numba compiles in.
_TORSO, _ARM, _HAND, _LEG, _FOOT, _EYE = ap.TORSO, ap.ARM, ap.HAND, ap.LEG, ap.FOOT, ap.EYE
_SKIN, _TOP, _BOTTOM, _SHOE, _HAIR, _SOCK, _WHITE = ap.SKIN, ap.TOP, ap.BOTTOM, ap.SHOE, ap.HAIR, ap.SOCK, ap.WHITE
_PATTERN, _SCALE, _PHASE, _SHINE = ap.PATTERN, ap.SCALE, ap.PHASE, ap.SHINE
_WAIST, _NECKLINE, _SLEEVE, _LEG_END, _HAIRLINE, _SOCK_TOP, _BEARD = range(7)


@njit(cache=True)
def rasterize(points_px, depth_mm, faces, mesh, cull, zbuffer, face_buffer, mesh_buffer):
    """Draws one mesh: nearest face number and mesh number per sample. Faces nearer than 100 mm are left out.

    Args:
        points_px: [V, 2] in samples; cull: leave out faces seen from behind.
        zbuffer [h, w] mm; face_buffer [h, w] int32; mesh_buffer [h, w] uint8: changed in place.

    Returns:
        Number of samples that became this mesh's, counted once each.
    """
    height, width = zbuffer.shape
    drawn = 0
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        zi, zj, zk = depth_mm[i], depth_mm[j], depth_mm[k]
        if zi < 100 or zj < 100 or zk < 100:
            continue
        ax, ay = points_px[i, 0], points_px[i, 1]
        bx, by = points_px[j, 0], points_px[j, 1]
        cx, cy = points_px[k, 0], points_px[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (cull and area > 0):
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx))))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx))))
        y0 = max(0, int(np.ceil(min(ay, by, cy))))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy))))
        inverse = np.float32(1) / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * inverse
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * inverse
                w = np.float32(1) - u - v
                if u >= 0 and v >= 0 and w >= 0:
                    z = np.float32(1) / (u / zi + v / zj + w / zk)
                    if z < zbuffer[y, x]:
                        if mesh_buffer[y, x] != mesh:
                            drawn += 1
                        zbuffer[y, x] = z
                        face_buffer[y, x] = f
                        mesh_buffer[y, x] = mesh
    return drawn


@njit(cache=True)
def flattened(vertices_mm, light):
    """[V, 3] mm: where the light (direction towards it [3]) throws the vertices on the floor, z = 0."""
    result = np.empty_like(vertices_mm)
    for v in range(len(vertices_mm)):
        t = vertices_mm[v, 2] / light[2]
        result[v, 0] = vertices_mm[v, 0] - light[0] * t
        result[v, 1] = vertices_mm[v, 1] - light[1] * t
        result[v, 2] = 0
    return result


@njit(cache=True)
def splat_shadow(points_px, depth_mm, faces, mask):
    """Marks in `mask` [h, w] uint8 the pixels that the (flattened) mesh covers."""
    height, width = mask.shape
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if depth_mm[i] < 100 or depth_mm[j] < 100 or depth_mm[k] < 100:
            continue
        ax, ay = points_px[i, 0], points_px[i, 1]
        bx, by = points_px[j, 0], points_px[j, 1]
        cx, cy = points_px[k, 0], points_px[k, 1]
        x0 = max(0, int(np.ceil(min(ax, bx, cx))))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx))))
        y0 = max(0, int(np.ceil(min(ay, by, cy))))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy))))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                if mask[y, x]:
                    continue
                u = (bx - x) * (cy - y) - (by - y) * (cx - x)
                v = (cx - x) * (ay - y) - (cy - y) * (ax - x)
                w = (ax - x) * (by - y) - (ay - y) * (bx - x)
                if (u >= 0 and v >= 0 and w >= 0) or (u <= 0 and v <= 0 and w <= 0):
                    mask[y, x] = 255


@njit(cache=True, fastmath=True)
def _is_second(pattern, scale, phase, x, y, z):
    """Whether the second colour of a pattern shows at (x, y, z), metres on the mean body."""
    if pattern == 1:
        return np.sin(z * scale * 4 + phase) > 0
    if pattern == 2:
        return np.sin(x * scale * 6 + phase) > 0.75
    if pattern == 3:
        a = np.sin(x * scale * 4 + phase) > 0
        b = np.sin(z * scale * 4) > 0
        return a != b
    if pattern == 4:
        return np.sin(x * scale * 5 + phase) * np.sin(z * scale * 5) > 0.45
    if pattern == 5:
        return np.sin(x * scale + phase) + np.sin(z * scale * 1.3 + 2 * np.sin(y * scale)) > 0.4
    if pattern == 6:
        return y < -0.02 and abs(x) < 0.09 and abs(z - 0.42) < 0.1 and np.sin(x * 90 + phase) * np.sin(z * 70) > -0.3
    if pattern == 7:
        return np.sin(phase) * x + np.cos(phase) * (z - 0.4) > 0
    return False


@njit(cache=True)
def _material(region, paint, height, along_arm, down_leg, hair, y, limits):
    """Which material shows at a point of the body."""
    if paint != 255:
        return int(paint)
    if region == _TORSO or region == _LEG:
        if height > limits[_NECKLINE]:
            return _SKIN
        if height > limits[_WAIST]:
            return _TOP
        if down_leg < limits[_LEG_END]:
            return _BOTTOM
        return _SOCK if down_leg > limits[_SOCK_TOP] else _SKIN
    if region == _ARM:
        return _TOP if along_arm < limits[_SLEEVE] else _SKIN
    if region == _FOOT:
        return _SHOE
    if region == _HAND or region == _EYE:
        return _SKIN
    if hair > limits[_HAIRLINE] or (limits[_BEARD] > 0.5 and height < 0.785 and height > 0.69 and y < -0.09):
        return _HAIR
    return _SKIN


@njit(cache=True, fastmath=True)
def shade(
    image, face_buffer, mesh_buffer, points_px, depths, normals, faces, region, paint, rest, fields,
    materials, limits, prop_faces_mesh, prop_normals, prop_colors, light, view, owner,
):  # fmt: skip
    """Shades every sample and blends the samples of each pixel into `image` [h, w, 3] uint8, in place.

    Args:
        points_px [P, V, 2], depths [P, V], normals [P, V, 3] (world), materials [P, M, 10], limits [P, 7]: per person.
        prop_faces_mesh: the mesh number that stands for objects; prop_normals, prop_colors [F', 3].
        light: [4, 3] direction towards the light (unit), its colour, the sky's colour, the ground's colour.
        view: [3] unit direction from the people to the camera.
        owner: [h, w] uint8 out: who owns most of the pixel (mesh number), NOBODY.
    """
    height, width = image.shape[:2]
    n = SAMPLES
    counts = np.zeros(256, np.int32)
    for py in range(height):
        for px in range(width):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            covered, best, owner_mesh = 0, 0, NOBODY
            for s in range(n * n):
                mesh = mesh_buffer[py * n + s // n, px * n + s % n]
                if mesh != NOBODY:
                    covered += 1
                    counts[mesh] += 1
                    if counts[mesh] > best:
                        best, owner_mesh = counts[mesh], mesh
            owner[py, px] = owner_mesh if best * 2 >= n * n else NOBODY
            if covered == 0:
                continue
            # Inside one mesh the two samples of a diagonal do; at its edges all are needed.
            step = n + 1 if best == n * n else 1
            for s in range(0, n * n, step):
                y, x = py * n + s // n, px * n + s % n
                mesh = mesh_buffer[y, x]
                if mesh == NOBODY:
                    continue
                f = face_buffer[y, x]
                shine = np.float32(0)
                if mesh == prop_faces_mesh:
                    nx, ny, nz = prop_normals[f, 0], prop_normals[f, 1], prop_normals[f, 2]
                    cr, cg, cb = prop_colors[f, 0], prop_colors[f, 1], prop_colors[f, 2]
                else:
                    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
                    q = points_px[mesh]
                    ax, ay, bx, by = q[i, 0] - x, q[i, 1] - y, q[j, 0] - x, q[j, 1] - y
                    cx, cy = q[k, 0] - x, q[k, 1] - y
                    u, v, w = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
                    total = u + v + w
                    if total == 0:
                        total = np.float32(1)
                    u, v, w = u / total, v / total, w / total
                    nm = normals[mesh]
                    nx = u * nm[i, 0] + v * nm[j, 0] + w * nm[k, 0]
                    ny = u * nm[i, 1] + v * nm[j, 1] + w * nm[k, 1]
                    nz = u * nm[i, 2] + v * nm[j, 2] + w * nm[k, 2]
                    rx = u * rest[i, 0] + v * rest[j, 0] + w * rest[k, 0]
                    ry = u * rest[i, 1] + v * rest[j, 1] + w * rest[k, 1]
                    rz = u * rest[i, 2] + v * rest[j, 2] + w * rest[k, 2]
                    arm = u * fields[i, 1] + v * fields[j, 1] + w * fields[k, 1]
                    leg = u * fields[i, 2] + v * fields[j, 2] + w * fields[k, 2]
                    hair = u * fields[i, 3] + v * fields[j, 3] + w * fields[k, 3]
                    m = materials[mesh, _material(region[f], paint[f], rz, arm, leg, hair, ry, limits[mesh])]
                    second = _is_second(int(m[_PATTERN]), m[_SCALE], m[_PHASE], rx, ry, rz)
                    first = 3 if second else 0
                    cr, cg, cb = m[first], m[first + 1], m[first + 2]
                    shine = m[_SHINE]
                length = np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-6)
                nx, ny, nz = nx / length, ny / length, nz / length
                lambert = max(np.float32(0), nx * light[0, 0] + ny * light[0, 1] + nz * light[0, 2])
                up = np.float32(0.5) + np.float32(0.5) * nz
                gloss = np.float32(0)
                if shine > 0:
                    hx, hy, hz = light[0, 0] + view[0], light[0, 1] + view[1], light[0, 2] + view[2]
                    h = np.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-6)
                    gloss = max(np.float32(0), (nx * hx + ny * hy + nz * hz) / h)
                    gloss = gloss * gloss
                    gloss = gloss * gloss
                    gloss = gloss * gloss * gloss * shine * 120
                red += cr * (light[3, 0] + (light[2, 0] - light[3, 0]) * up + light[1, 0] * lambert) + gloss
                green += cg * (light[3, 1] + (light[2, 1] - light[3, 1]) * up + light[1, 1] * lambert) + gloss
                blue += cb * (light[3, 2] + (light[2, 2] - light[3, 2]) * up + light[1, 2] * lambert) + gloss
            for s in range(n * n):
                counts[mesh_buffer[py * n + s // n, px * n + s % n]] = 0
            # `red` and so on sum over the shaded samples; the rest of the pixel is background.
            shaded = np.float32(n if step > 1 else n * n)
            rest_share = np.float32(n * n - covered) / (n * n)
            image[py, px, 0] = min(np.float32(255), red / shaded + rest_share * image[py, px, 0])
            image[py, px, 1] = min(np.float32(255), green / shaded + rest_share * image[py, px, 1])
            image[py, px, 2] = min(np.float32(255), blue / shaded + rest_share * image[py, px, 2])


@njit(cache=True, fastmath=True)
def draw_room(image, floor, K, R, center_mm, distortion, bounds_mm, textures, surfaces, bank, sky):
    """Looks from every pixel along its ray at the inside of a box: the room, or the open air.

    Args:
        image: [h, w, 3] uint8 out; floor: [h, w] uint8 out, 255 where the floor is seen.
        bounds_mm: [3, 2] of the box; textures: [3] texture numbers of floor, walls, ceiling;
        surfaces: [3, 5] their tint r, g, b (1: as the tile), texels per mm, and fading with distance (1 / mm).
        bank: textures of `textures.texture_bank`; sky: [2, 3] colours of an open ceiling at the horizon and above;
            negative: the room has a ceiling.
    """
    height, width = image.shape[:2]
    n_levels, size = bank.shape[1], bank.shape[2]
    k1, k2, p1, p2 = distortion[0], distortion[1], distortion[2], distortion[3]
    for py in range(height):
        for px in range(width):
            y0 = (py - K[1, 2]) / K[1, 1]
            x0 = (px - K[0, 2] - K[0, 1] * y0) / K[0, 0]
            x, y = x0, y0
            if k1 != 0:
                for _ in range(3):
                    r2 = x * x + y * y
                    radial = 1 + r2 * (k1 + r2 * k2)
                    dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
                    dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
                    x, y = (x0 - dx) / radial, (y0 - dy) / radial
            d0 = R[0, 0] * x + R[1, 0] * y + R[2, 0]
            d1 = R[0, 1] * x + R[1, 1] * y + R[2, 1]
            d2 = R[0, 2] * x + R[1, 2] * y + R[2, 2]
            nearest, axis = 1e12, 0
            for a in range(3):
                d = d0 if a == 0 else (d1 if a == 1 else d2)
                if d == 0:
                    continue
                t = (bounds_mm[a, 1 if d > 0 else 0] - center_mm[a]) / d
                if 0 < t < nearest:
                    nearest, axis = t, a
            surface = 1
            if axis == 2:
                surface = 0 if d2 < 0 else 2
            floor[py, px] = 255 if surface == 0 else 0
            if surface == 2 and sky[0, 0] >= 0:
                up = min(1.0, 2 * d2 / np.sqrt(d0 * d0 + d1 * d1 + d2 * d2))
                for c in range(3):
                    image[py, px, c] = sky[0, c] + (sky[1, c] - sky[0, c]) * up
                continue
            hx = center_mm[0] + nearest * d0
            hy = center_mm[1] + nearest * d1
            hz = center_mm[2] + nearest * d2
            u, v = (hy, -hz) if axis == 0 else ((hx, -hz) if axis == 1 else (hx, hy))
            scale = surfaces[surface, 3]
            cosine = abs(d0 if axis == 0 else (d1 if axis == 1 else d2)) / np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
            footprint = scale * nearest / K[0, 0] / max(cosine, 0.05) ** 0.5
            level = 0
            while footprint > 1.5 and level < n_levels - 1:
                footprint *= 0.5
                level += 1
            texel = bank[textures[surface], level, int(np.floor(v * scale)) % size, int(np.floor(u * scale)) % size]
            light = 1 / (1 + surfaces[surface, 4] * nearest)
            if axis == 0:
                light *= 0.88
            for c in range(3):
                image[py, px, c] = min(255.0, texel[c] * surfaces[surface, c] * light)


@njit(cache=True)
def darken(image, floor, shadow, strength):
    """Multiplies the floor's pixels by 1 - strength * shadow / 255, in place."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if shadow[y, x] and floor[y, x]:
                factor = 1 - strength * shadow[y, x] / 255
                for c in range(3):
                    image[y, x, c] = image[y, x, c] * factor


@njit(cache=True)
def add_noise(image, table, noise, row, column, amplitude):
    """Applies the tone curve `table` [3, 256] uint8 and adds sensor noise, in place.

    Args:
        noise: [S, S] int8 tile, laid from (row, column) on; amplitude: factor on it in 1 / 256.
    """
    size = noise.shape[0]
    height, width = image.shape[:2]
    for y in range(height):
        line = noise[(y + row) % size]
        i = column
        for x in range(width):
            for c in range(3):
                i += 1
                if i >= size:
                    i -= size
                value = np.int32(table[c, image[y, x, c]]) + ((amplitude * np.int32(line[i])) >> 8)
                image[y, x, c] = min(max(value, 0), 255)

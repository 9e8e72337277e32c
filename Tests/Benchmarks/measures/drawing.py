"""What all pictures are drawn with."""

TEXT = "#333"
WIDTH = 860


def moves(points):
    """Those of a path, in SVG's words."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


class Drawing:
    """An SVG, its parts one after the other."""

    def __init__(self, height):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="system-ui, sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        ]

    def text(self, x, y, words, color=TEXT, anchor="start", weight="normal", size=12):
        words = words.replace("&", "&amp;").replace("<", "&lt;")
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" font-weight="{weight}" '
            f'font-size="{size}">{words}</text>')

    def bar(self, x, y, width, height, color, round=2):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" rx="{round}" fill="{color}"/>')

    def path(self, points, color, width=1.0, dash=""):
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<path d="{moves(points)}" stroke="{color}" stroke-width="{width}" fill="none"{dash}/>')

    def shapes(self, outlines, color):
        """Filled ones, each as its points, as one path."""
        if outlines:
            self.parts.append(f'<path d="{"".join(moves(points) + "z" for points in outlines)}" fill="{color}"/>')

    def dot(self, x, y, color):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>')

    def whole(self):
        return "\n".join(self.parts + ["</svg>", ""])

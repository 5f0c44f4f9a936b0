/* Draws points with WebGL2: one buffer of places, one of codes, and one table of colours. */

const VERTEX = `#version 300 es
in vec2 place;
in uint code;
uniform vec2 scale;
uniform vec2 shift;
uniform float size;
uniform float layer;
uniform sampler2D colours;
out vec3 colour;
void main() {
  vec4 found = texelFetch(colours, ivec2(code, 0), 0);
  bool drawn = layer > 0.5 ? found.a > 0.75 : found.a > 0.25 && found.a < 0.75;
  gl_Position = drawn ? vec4(place * scale + shift, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size + 1.0;
  colour = found.rgb;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec3 colour;
uniform float size;
uniform float opacity;
out vec4 pixel;
void main() {
  float away = length(gl_PointCoord - 0.5) * (size + 1.0);
  float cover = clamp(size * 0.5 - away + 0.5, 0.0, 1.0) * opacity;
  pixel = vec4(colour * cover, cover);
}`;

class WebGLPainter {
  constructor(canvas) {
    const options = { antialias: false, preserveDrawingBuffer: true };
    const gl = canvas.getContext("webgl2", options);
    if (!gl) throw new Error("WebGL2 is not available");
    this.name = "webgl2";
    this.gl = gl;
    this.program = this.compiled();
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.codes = gl.createBuffer();
  }

  compiled() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(gl.getProgramInfoLog(program));
    }
    return program;
  }

  place(xy, order) {
    const { gl } = this;
    this.size = order.length;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.STATIC_DRAW);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, xy, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(this.program, "place");
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 2, gl.UNSIGNED_SHORT, true, 0, 0);
  }

  code(codes) {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.codes);
    gl.bufferData(gl.ARRAY_BUFFER, codes, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(this.program, "code");
    gl.enableVertexAttribArray(at);
    gl.vertexAttribIPointer(at, 1, gl.UNSIGNED_BYTE, 0, 0);
  }

  colour(table) {
    const { gl } = this;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, table);
  }

  draw({ width, height, scale, shift, size, opacity, background, layers }) {
    const { gl } = this;
    const uniform = (name) => gl.getUniformLocation(this.program, name);
    gl.viewport(0, 0, width, height);
    gl.clearColor(...background.map((part) => part / 255), 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(uniform("scale"), ...scale);
    gl.uniform2f(uniform("shift"), ...shift);
    gl.uniform1f(uniform("size"), size);
    gl.uniform1f(uniform("opacity"), opacity);
    for (const layer of layers) {
      gl.uniform1f(uniform("layer"), layer);
      gl.drawElements(gl.POINTS, this.size, gl.UNSIGNED_INT, 0);
    }
  }
}

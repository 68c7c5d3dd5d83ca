{
  "version": 1,
  "images": [
    {
      "name": "docker.io/library/busybox:stable",
      "id": "sha256:ab",
      "used_ms": 12
    }
  ]
}

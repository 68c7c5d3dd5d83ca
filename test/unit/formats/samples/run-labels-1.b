{
  "io.dgrid.grid": "0123456789abcdef",
  "io.dgrid.node": "box-1",
  "io.dgrid.incarnation": "a1b2c3d4e5f60718",
  "io.dgrid.task": "nightly-7",
  "io.dgrid.epoch": "3",
  "io.dgrid.attempt": "2",
  "io.dgrid.program": "script",
  "io.dgrid.nonce": "00ff00ff00ff00ff",
  "io.dgrid.image": "busybox:stable",
  "io.dgrid.digest": "sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
}

/// The rack of the walk-through, with every key there is.
let goodText = """
    # The rack of the walk-through.
    rack: rack1
    iqn: iqn.2026-01.net.example
    networks:
      - name: san0
      - {name: san1, description: "the second switch"}
    hosts:
      - name: storage0
        rack: r1
        row: a
        portals:
          - {network: san0, address: 10.77.0.21, port: 3260}
          - {network: san1, address: 10.77.1.21}
      - name: storage1
        rack: r2
        portals:
          - {network: san0, address: 10.77.0.22}
          - {network: san1, address: "fd00:0:0::22", port: 3261, tag: 77}
    clients:
      - {name: client0, address: 10.77.9.11, nodeID: 1}
      - name: client1
        address: 10.77.9.12
        nodeID: 2
        initiator: iqn.1993-08.org.debian:01:abcdef
        isid: "80:12:34:56:00:00"
        key: 0xfeed
    volumes:
      - name: mpath0
        size: 1GiB
        path: /srv/storage/mpath0.img
        hosts: [storage0]
      - name: mpath1
        size: 1073741824
        path: /srv/storage/mpath1.img
        hosts:
          - storage1
        wwid: 3123456789abcdef
        target: iqn.2026-01.net.example:by-hand
        blockSize: 512
        readOnly: no
        multipath: {grouping: failover, selector: "round-robin 0", queueSeconds: 0}
    volumeGroups:
      - name: VG0
        volumes: [mpath0, mpath1]
        extentSize: 4MiB
        logicalVolumes:
          - {name: LV0, extents: 510}
    filesystems:
      - name: gfs2
        type: gfs2
        cluster: client
        volume: VG0/LV0
        journals: 4
        mount: /mnt
        options: [noatime]
    timeouts:
      {nopInterval: 6, nopTimeout: 7, recovery: 8, pathCheck: 3}

    """

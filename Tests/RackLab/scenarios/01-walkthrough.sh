# shellcheck shell=bash
title="the walk-through of 2008, on empty volumes"

scenario() {
    new_volumes
    walkthrough
    stage_end
    echo "  PASS  every expectation of the walk-through"
}

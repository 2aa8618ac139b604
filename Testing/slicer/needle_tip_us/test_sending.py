"""NeedleTipUS sends the tip on through an OpenIGTLink connector, where there is that extension."""

from __future__ import annotations

import socket
import time

import pytest

from slicer_harness.live_tip import tip_ras

pyigtl = pytest.importorskip("pyigtl")


@pytest.fixture
def connector(needle_tip_us, scene, monkeypatch):
    """A connector in the scene that waits for a client, as if SlicerOpenIGTLink were there."""
    from NeedleTipUSLib import sending
    from slicer_harness.igtl_connector import IGTLConnector

    monkeypatch.setattr(sending, "CONNECTOR", "vtkMRMLTextNode")
    node = IGTLConnector()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        node.port = free.getsockname()[1]
    node.start(node.port)
    scene.AddNode(node)
    yield node
    node.stop()


@pytest.fixture
def peer(connector):
    """Another program that has connected."""
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", connector.port)
    while not connector.server.is_connected():
        time.sleep(0.01)
    yield client
    client.stop()


@pytest.fixture
def choose(panel):
    return lambda connector: panel.ui.connectorSelector.setCurrentNode(connector)


def hear(peer):
    return peer.wait_for_message("Needle tip", timeout=5)


def test_a_peer_hears_where_the_tip_is_and_that_it_is_lost(
    connector, peer, choose, running, stream, show
):
    choose(connector)
    for _ in range(3):
        show(running, stream, (60, 40))
    while (heard := hear(peer)).names != ["83 %"]:
        pass
    assert heard.positions[0] == pytest.approx(tuple(tip_ras()), abs=1e-4)
    assert heard.rgba_colors[0][3] == 255
    running.ui.startButton.click()
    while (heard := hear(peer)).names != ["lost"]:
        pass
    assert heard.rgba_colors[0][3] == 0


def test_nothing_is_sent_unless_a_connector_is_chosen(connector, peer, running, stream, show):
    for _ in range(3):
        show(running, stream, (60, 40))
    assert peer.wait_for_message("Needle tip", timeout=0.3) is None


def test_after_stop_the_connector_sends_no_more_and_with_the_next_start_it_does(
    connector, choose, running, stream, show
):
    choose(connector)
    show(running, stream, (60, 40))
    assert len(connector.tags) == 1
    running.ui.startButton.click()
    assert not connector.tags
    running.ui.startButton.click()
    show(running, stream, (60, 40))
    assert len(connector.tags) == 1


def test_another_connector_can_be_chosen_or_none_while_tracking(
    connector, choose, running, stream, show
):
    choose(connector)
    show(running, stream, (60, 40))
    choose(None)
    assert not connector.tags


@pytest.mark.parametrize("what", ["connector", "scene"])
def test_tracking_survives_that_the_connector_goes(
    what, connector, choose, running, stream, show, scene
):
    choose(connector)
    show(running, stream, (60, 40))
    if what == "scene":
        scene.Clear(0)
        assert running.logic.tracking is None
    else:
        scene.RemoveNode(connector)
        show(running, stream, (60, 40))
        assert running.logic.tracking is not None
    assert not connector.tags


def test_without_the_extension_the_panel_says_that_it_is_needed(panel):
    assert not panel.ui.connectorSelector.enabled
    assert "SlicerOpenIGTLink" in panel.ui.connectorSelector.noneDisplay

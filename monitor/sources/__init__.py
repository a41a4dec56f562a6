"""Where packets come from: one interface, with MQTT behind it; a Kafka or gmqtt source can stand beside it."""

from monitor.sources.address import MqttAddress, parse_mqtt_url
from monitor.sources.inbox import Inbox
from monitor.sources.mqtt import MqttSource
from monitor.sources.source import Arrival, Source

__all__ = ["Arrival", "Inbox", "MqttAddress", "MqttSource", "Source", "parse_mqtt_url"]

"""A Modbus device by pymodbus, for tests: units 1 and 2 on 127.0.0.1:PORT, or in RTU on one end of a serial line.

usage: modbus_device.py PORT | PATH

Holding registers (offsets): float32 ABCD 101.325, -40.5, 3.5e6, 0.001 at 0, 2, 4, 6; float64 1234567.891 at 10;
0xFFFE (-2 as int16) at 20; 65535 at 21; float32 CDAB 1800.25 at 24; text "WELL" at 30; BCD 1234 at 40.
Input registers: 10 times their offset. Discrete inputs: odd ones are set. Nothing beyond 200.
"""

import asyncio
import struct
import sys

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.framer import FramerType
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer


def registers(code, value):
    data = struct.pack(">" + code, value)
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


holding = [0] * 200
for index, value in enumerate([101.325, -40.5, 3.5e6, 1e-3]):
    holding[index * 2 : index * 2 + 2] = registers("f", value)
holding[10:14] = registers("d", 1234567.891)
holding[20], holding[21] = 0xFFFE, 65535
holding[24:26] = list(reversed(registers("f", 1800.25)))
holding[30:32] = [int.from_bytes(b"WE", "big"), int.from_bytes(b"LL", "big")]
holding[40] = 0x1234


def device():
    return ModbusDeviceContext(
        di=ModbusSequentialDataBlock(1, [i % 2 for i in range(100)]),
        co=ModbusSequentialDataBlock(1, [0] * 100),
        hr=ModbusSequentialDataBlock(1, list(holding)),
        ir=ModbusSequentialDataBlock(1, [i * 10 for i in range(100)]),
    )


context = ModbusServerContext(devices={1: device(), 2: device()}, single=False)
place = sys.argv[1]
if place.startswith("/"):
    # A unit that is not there says nothing, as on a real line.
    server = StartAsyncSerialServer(
        context, framer=FramerType.RTU, port=place, baudrate=38400, ignore_missing_devices=True
    )
else:
    server = StartAsyncTcpServer(context, address=("127.0.0.1", int(place)))
asyncio.run(server)

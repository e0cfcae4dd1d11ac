//! A Modbus device in the test's own hands.

use std::sync::Arc;

use modbus::{Address, Order, Registers, Server, Table, Value, ValueType};

pub(crate) struct Device {
    registers: Arc<Registers>,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
}

impl Device {
    /// One unit with `THP` in 40001 and `CHP` in 40003, f32 in the order ABCD.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registers = Arc::new(Registers::new());
        let server = runtime.block_on(Server::bind("127.0.0.1:0", registers.clone())).unwrap();
        let device = Self { registers, server: Some(server), runtime };
        device.set(0, 1_800.0);
        device.set(2, 600.0);
        device
    }

    pub(crate) fn set(&self, offset: u16, value: f64) {
        let at = Address { table: Table::HoldingRegisters, offset };
        self.registers.set_value(1, at, ValueType::F32, Order::Abcd, &Value::Float(value)).unwrap();
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.as_ref().unwrap().local_addr().port()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _guard = self.runtime.enter();
        drop(self.server.take());
    }
}
